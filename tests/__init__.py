"""Tests."""

import pytest

# So that a failed assertion in a helper shows its values too.
pytest.register_assert_rewrite("tests.proof", "tests.shop")
