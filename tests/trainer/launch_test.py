# SPDX-License-Identifier: MIT
"""`mmada train` started by torchrun, or as mpirun and srun start it: the steps of `--nproc`, in one run."""
import os
import socket
import subprocess
import sys

import pytest

from training_run import PROGRAM, config, losses, train

STEPS = 2
STARTERS = {  # what each calls the rank, the size of the run, and both on this machine
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    "MPICH": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    "Slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"),
}


def command(config, run):
    return [PROGRAM, "train", "--config", str(config), f"experiment.output_dir={run}", f"training.max_train_steps={STEPS}"]


def environment(**added):
    """That of this process, without what a starter of its own has left in it."""
    names = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", *sum(STARTERS.values(), ())}
    return {**{name: value for name, value in os.environ.items() if name not in names}, **added}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def expected(config):
    """Losses of the run that `--nproc 2` starts; they are not those of a process alone, to the bit."""
    runs = {processes: f"{config.parent}/nproc-{processes}" for processes in (1, 2)}
    for processes, run in runs.items():
        train(config, f"experiment.output_dir={run}", f"training.max_train_steps={STEPS}", "--nproc", processes)
    assert sorted(losses(runs[2])) == [1, 2] and losses(runs[2]) != losses(runs[1])
    return losses(runs[2])


def test_torchrun_starts_the_processes_of_one_run(config, expected, tmp_path):
    starter = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    done = subprocess.run([*starter, *command(config, tmp_path)], capture_output=True, text=True, timeout=120, env=environment())
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path) == expected


@pytest.mark.parametrize("starter", STARTERS)
def test_processes_with_the_variables_of_other_starters_are_one_run(config, expected, tmp_path, starter):
    port = free_port()
    names = STARTERS[starter]
    ranks = [subprocess.Popen(command(config, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              env=environment(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, **dict(zip(names, (rank, "2", rank, "2")))))
             for rank in ("0", "1")]
    logs = [rank.communicate(timeout=120)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], logs
    assert losses(tmp_path) == expected
