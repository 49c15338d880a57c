"""The Merkle tree of RFC 6962: its hashes, what proofs consist of, and how they are checked.

A node is the root of a perfect subtree: (level, index) has the 2^level leaves from index * 2^level on. Algorithms and
names are those of RFC 9162, section 2.1, which defines the same tree.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final

EMPTY_ROOT: Final = sha256().digest()
"""The root of a tree without leaves."""

HASH_BYTES: Final = 32

Node = tuple[int, int]
"""(level, index)."""

Span = tuple[int, int]
"""The leaves from one index up to, and without, another."""


class ProofInvalid(Exception):
    """A proof does not prove what it should. The message says which part is wrong."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf's bytes."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees side by side."""
    return sha256(b"\x01" + left + right).digest()


# -- proofs in the making


def inclusion_path(index: int, size: int) -> list[Span]:
    """What the proof names that leaf `index` is in a tree of that size: the roots over these leaves, in order.

    Raises ValueError unless 0 <= index < size.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size:,} leaves has no leaf {index:,}")
    begin, end = 0, size
    path: list[Span] = []
    while end - begin > 1:
        middle = begin + _largest_power_below(end - begin)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((begin, middle))
            begin = middle
    return path[::-1]


def consistency_path(old: int, size: int) -> list[Span]:
    """What the proof names that a tree of that size continues one of `old` leaves: the roots over these, in order.

    Raises ValueError unless 0 <= old <= size.
    """
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {size:,} leaves cannot continue one of {old:,}")
    begin, end = 0, size
    path: list[Span] = []
    while begin < old < end:
        middle = begin + _largest_power_below(end - begin)
        if old <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((begin, middle))
            begin = middle
    if begin:
        path.append((begin, end))
    return path[::-1]


def nodes_of(span: Span) -> list[Node]:
    """The nodes that the root over some leaves of a path is made from, left to right."""
    begin, end = span
    nodes: list[Node] = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        nodes.append((level, begin >> level))
        begin += 1 << level
    return nodes


def root_over(span: Span, node: Callable[[Node], bytes]) -> bytes:
    """The root over some leaves of a path, of nodes that are looked up."""
    return fold([node(one) for one in nodes_of(span)])


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over perfect subtrees that stand side by side, each smaller than the one before."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of nodes of one level."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level), 2)]
    return level[0]


def levels_of(hashes: Sequence[bytes]) -> list[list[bytes]]:
    """The nodes over some hashes, level by level from the hashes on; those that are not whole are left out."""
    levels = [list(hashes)]
    while len(below := levels[-1]) > 1:
        levels.append(
            [sha256(b"\x01" + pair[0] + pair[1]).digest() for pair in zip(below[::2], below[1::2], strict=False)]
        )
    return levels


def _largest_power_below(count: int) -> int:
    return 1 << ((count - 1).bit_length() - 1)


# -- proofs to be checked


def check_inclusion(root: bytes, size: int, index: int, leaf: bytes, proof: Sequence[bytes]) -> None:
    """Raises ProofInvalid unless the leaf of that hash is at that index of the tree of that root and size."""
    if not 0 <= index < size:
        raise ProofInvalid(f"a tree of {size:,} leaves has no leaf {index:,}")
    _check_lengths([root, leaf, *proof])
    computed = leaf
    for part, is_left in _sides(index, size - 1, proof):
        computed = node_hash(part, computed) if is_left else node_hash(computed, part)
    if computed != root:
        raise ProofInvalid("the leaf is not in the tree of that root")


def check_consistency(old_root: bytes, old: int, root: bytes, size: int, proof: Sequence[bytes]) -> None:
    """Raises ProofInvalid unless the tree of that root and size continues the one of `old_root` and `old` leaves."""
    if not 0 <= old <= size:
        raise ProofInvalid(f"a tree of {size:,} leaves cannot continue one of {old:,}")
    if not old:
        raise ProofInvalid("every tree continues the empty one, so there is nothing to prove")
    if old == size:
        if proof:
            raise ProofInvalid("the proof is too long")
        if old_root != root:
            raise ProofInvalid("trees of the same size have different roots")
        return
    _check_lengths([old_root, root, *proof])
    old_computed, computed = _roots(old_root, old, size, proof)
    if old_computed != old_root:
        raise ProofInvalid("the proof does not lead to the old root")
    if computed != root:
        raise ProofInvalid("the proof does not lead to the new root")


def _roots(old_root: bytes, old: int, size: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots of the old and the new tree that a proof of consistency leads to."""
    # Where the old tree is one node of the new one, the proof need not name it.
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        raise ProofInvalid("the proof is too short")
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old_computed = computed = path[0]
    for part, is_left in _sides(at, last, path[1:]):
        if is_left:
            old_computed = node_hash(part, old_computed)
        computed = node_hash(part, computed) if is_left else node_hash(computed, part)
    return old_computed, computed


def _sides(at: int, last: int, proof: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The parts of a proof on the way up from a node, and whether each stands to the left of it.

    `last` is the last node of the same level. Raises ProofInvalid where the way has not as many steps as the proof.
    """
    for part in proof:
        if last == 0:
            raise ProofInvalid("the proof is too long")
        is_left = bool(at & 1) or at == last
        if is_left:
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        yield part, is_left
        at, last = at >> 1, last >> 1
    if last:
        raise ProofInvalid("the proof is too short")


def _check_lengths(hashes: Sequence[bytes]) -> None:
    if any(len(one) != HASH_BYTES for one in hashes):
        raise ProofInvalid(f"a hash has not {HASH_BYTES} bytes")
