"""Makes regular expressions of the word lists of the clinical data files, in one way for all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable


def alternatives(words: Iterable[str]) -> str:
    """An expression for any of the words, the longest first; a space stands for any white space. Empty for no words."""
    longest_first = sorted(set(words), key=lambda word: (-len(word), word))
    return "|".join(r"\s+".join(map(re.escape, word.split())) for word in longest_first)
