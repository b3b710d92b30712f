# SPDX-License-Identifier: MIT
"""Parquet files as pyarrow writes them: the same rows, cropped by the rules, from any position on; mistakes by name."""
import json
import os
import pathlib
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PROBE = os.environ["MMADA_SOURCE_PROBE"]
POCKET = pathlib.Path(os.environ["MMADA_TEST_DATA"]).parents[1] / "examples" / "pocket" / "mmada"


def probe(options, count, position=0, status=0):
    done = subprocess.run([PROBE, json.dumps({"type": "parquet", **options}), str(count), str(position)], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()] if status == 0 else done.stderr


def written(path, rows, rows_a_group=7, **options):
    table = pa.table({"id": list(range(len(rows))), "content": pa.array(rows, pa.string())})
    pq.write_table(table, path, row_group_size=rows_a_group, **options)
    return str(path)


ROWS = [f"row {i}\nof \u65e5\u672c " + "x" * (i % 5) for i in range(40)]
CLEAN = [row.replace("\n", "") for row in ROWS]


@pytest.mark.parametrize("options", [{"compression": "snappy"}, {"compression": "zstd"}, {"compression": "none", "use_dictionary": False},
                                     {"data_page_version": "2.0"}, {"data_page_size": 64}])
def test_rows_equal_those_of_pyarrow(options, tmp_path):
    path = written(tmp_path / "a.parquet", ROWS, **options)
    assert probe({"path": path, "shuffle": False}, 40) == CLEAN
    assert probe({"path": path, "shuffle": False, "format": "chat"}, 40) == ROWS


def test_more_than_one_batch_of_rows(tmp_path):
    rows = [str(i) for i in range(5000)]
    assert probe({"path": written(tmp_path / "a.parquet", rows, 3000), "shuffle": False}, 5000) == rows


def test_an_epoch_visits_every_row_once_and_goes_on_from_any_position(tmp_path):
    written(tmp_path / "s-0.parquet", ROWS[:25])
    written(tmp_path / "s-1.parquet", ROWS[25:], 15)
    options = {"path": str(tmp_path / "s-{0..1}.parquet")}
    straight = probe(options, 100)
    assert sorted(straight[:40]) == sorted(straight[40:80]) == sorted(CLEAN)
    assert straight[:40] != straight[40:80] and straight[:40] != CLEAN
    for position in (1, 7, 24, 25, 39, 40, 41, 77):
        assert probe(options, 15, position) == straight[position:position + 15]


def test_rows_of_a_row_group_are_visited_together(tmp_path):
    path = written(tmp_path / "a.parquet", [f"{i // 10}" for i in range(100)], 10)
    groups = probe({"path": path}, 100)
    assert all(len(set(groups[i:i + 10])) == 1 for i in range(0, 100, 10)) and groups != sorted(groups)


def test_long_documents_are_cropped_to_characters_at_any_place(tmp_path):
    document = "".join(chr(0x4E00 + i) for i in range(30)) + "\n" + "".join(chr(0x61 + i) for i in range(20))
    path = written(tmp_path / "a.parquet", [document])
    texts = probe({"path": path, "max_characters": 10}, 2000)
    clean = document.replace("\n", "")
    starts = [clean.index(text) for text in texts]
    assert all(len(text) == 10 for text in texts)
    assert set(starts) == set(range(41))
    assert abs(sum(starts) / len(starts) - 20) < 1.5  # uniform over 0..40: standard error 0.27
    assert probe({"path": path, "max_characters": 50}, 2) == [clean, clean]


def test_rows_of_too_many_tokens_are_left_out(tmp_path):
    rows = ["red", "a red circle and a blue square at top left and more", "blue"]
    options = {"path": written(tmp_path / "a.parquet", rows), "shuffle": False, "tokenizer": str(POCKET), "max_tokens": 4, "format": "chat"}
    assert probe(options, 4) == ["red", "blue", "red", "blue"]
    assert probe(options, 2, 1) == ["blue", "red"]


def test_mistakes_are_named(tmp_path):
    good = written(tmp_path / "good.parquet", ROWS)
    assert 'good.parquet: found no column "text"' in probe({"path": good, "content": "text"}, 1, status=1)
    assert 'good.parquet: column "id": found INT64, expected strings' in probe({"path": good, "content": "id"}, 1, status=1)
    nulls = written(tmp_path / "nulls.parquet", ["a", None, "b"])
    assert "nulls.parquet: row group 0" in probe({"path": nulls}, 1, status=1)
    contents = pathlib.Path(good).read_bytes()
    for name, damaged in (("cut", contents[:-20]), ("text", b"not parquet at all"), ("empty", b"")):
        (tmp_path / f"{name}.parquet").write_bytes(damaged)
        assert f"{name}.parquet: found" in probe({"path": str(tmp_path / f"{name}.parquet")}, 1, status=1)
    (tmp_path / "body.parquet").write_bytes(contents[:4] + b"\xff" * 200 + contents[204:])
    assert "body.parquet: row group" in probe({"path": str(tmp_path / "body.parquet"), "shuffle": False}, 7, status=1)
    assert "gone.parquet" in probe({"path": str(tmp_path / "gone.parquet")}, 1, status=1)
    assert "expected names that end in .parquet" in probe({"path": "x.arrow"}, 1, status=1)
    pq.write_table(pa.table({"content": [["a"]]}), tmp_path / "list.parquet")
    assert "list.parquet: found no column" in probe({"path": str(tmp_path / "list.parquet")}, 1, status=1)
    pq.write_table(pa.table({"content": pa.array([b"\xff"], pa.binary())}), tmp_path / "bytes.parquet")
    assert "bytes.parquet: row group 0, row 0: found bytes that are not UTF-8" in probe({"path": str(tmp_path / "bytes.parquet")}, 1, status=1)
