# SPDX-License-Identifier: MIT
"""WordPiece ids equal the tokenizers package's on text in every script."""
import json
import os
import subprocess
import sys
import unicodedata

from tokenizers.implementations import BertWordPieceTokenizer

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "text"))
import tokenizer_files

os.environ["TOKENIZERS_PARALLELISM"] = "false"
PROBE = os.environ["MMADA_FORMATS_PROBE"]


def test_ids_equal_the_package(tmp_path):
    oracle = BertWordPieceTokenizer()
    oracle.train_from_iterator(tokenizer_files.training_text(), vocab_size=1200, show_progress=False)
    oracle.save_model(str(tmp_path))
    marks = ["[CLS]", "a [SEP] b", "x[MASK]", "[mask]", "[PAD][UNK]", "naïve façade", "ÅÉÎ", "don't", "3.14", "$5+\u20ac6"]
    # what newer Unicode says of code points that an older one did not know is nobody's mistake
    texts = [s for s in tokenizer_files.hard_strings() + marks if "Cn" not in map(unicodedata.category, s)]
    assert len(texts) > 500
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    done = subprocess.run([PROBE, "words", tmp_path / "vocab.txt", tmp_path / "texts.json"], capture_output=True, text=True, check=True)
    found = [[int(i) for i in line.split()] for line in done.stdout.splitlines()]
    expected = [oracle.encode(s, add_special_tokens=False).ids for s in texts]
    assert [s for s, a, b in zip(texts, found, expected) if a != b] == [] and len(found) == len(texts)
