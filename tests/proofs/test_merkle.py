"""The Merkle tree against the published constants and vectors, and against the definition."""

import json
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.proof.merkle import (
    EMPTY_ROOT,
    ProofInvalid,
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
)
from ledger.proof.tree import Tree, consistency_proof, edge_keys, inclusion_proof, tiles_for

VECTORS: Final = Path(__file__).parents[3] / "shared" / "data" / "merkle"
"""Published vectors, where they are beside the project."""

LEAVES: Final = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")] + [
    bytes(range(0x60, 0x70))
]
ROOTS: Final = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""The roots of the trees of 0 to 8 of these leaves, as the reference log of Certificate Transparency gives them."""

DAMAGE: Final = st.tuples(st.integers(0, 1_000), st.integers(0, 255))


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, to the letter."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return node_hash(defined_root(leaves[:k]), defined_root(leaves[k:]))


class Grown:
    """A tree with all of its tiles and roots."""

    def __init__(self, size: int) -> None:
        tree = Tree()
        self.leaves = [leaf_hash(number.to_bytes(4)) for number in range(size)]
        self.roots = [tree.root()]
        self.tiles: dict[tuple[int, int], bytes] = {}
        for leaf in self.leaves:
            self.tiles |= tree.append([leaf])
            self.roots.append(tree.root())
        self.tiles |= tree.edge()

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """A proof from no more tiles than are asked for."""
        keys = tiles_for(inclusion_path(index, size))
        return inclusion_proof(index, size, {key: self.tiles[key] for key in keys})

    def consistency(self, old: int, size: int) -> list[bytes]:
        """The same."""
        keys = tiles_for(consistency_path(old, size))
        return consistency_proof(old, size, {key: self.tiles[key] for key in keys})


@pytest.fixture(scope="module")
def grown() -> Grown:
    """A tree of three levels of tiles would take 65,536 leaves; two levels and an edge do."""
    return Grown(1_100)


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    """The tree grows as published."""
    tree = Tree()
    tree.append(map(leaf_hash, LEAVES[:size]))
    assert tree.root().hex() == ROOTS[size] == defined_root(LEAVES[:size]).hex()


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_published_vectors(kind: str) -> None:
    """What must be refused is refused, and nothing else. Where the vectors are not there, the trees above must do."""
    for path in sorted((VECTORS / kind).rglob("*.json")):
        vector: dict[str, Any] = json.loads(path.read_bytes())
        proof = [b64decode(part) for part in vector["proof"] or ()]
        try:
            if kind == "inclusion":
                root, leaf = b64decode(vector["root"]), b64decode(vector["leafHash"])
                check_inclusion(root, vector["treeSize"], vector["leafIdx"], leaf, proof)
            else:
                old_root, root = b64decode(vector["root1"]), b64decode(vector["root2"])
                check_consistency(old_root, vector["size1"], root, vector["size2"], proof)
            refused = False
        except ProofInvalid:
            refused = True
        assert refused == vector["wantErr"], path


def test_roots_of_all_sizes(grown: Grown) -> None:
    """What tiles give is what the definition gives, across full tiles and their edges."""
    leaves = [number.to_bytes(4) for number in range(1_100)]
    for size in (0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 700, 1_023, 1_024, 1_025, 1_100):
        assert grown.roots[size] == defined_root(leaves[:size])


@given(st.data())
@settings(max_examples=150)
def test_every_inclusion_proof(grown: Grown, data: st.DataObject) -> None:
    """Each leaf of each tree has a proof, which proves no other index, leaf, size or root, and none when changed."""
    size = data.draw(st.integers(1, 1_100))
    index = data.draw(st.integers(0, size - 1))
    proof = grown.inclusion(index, size)
    check_inclusion(grown.roots[size], size, index, grown.leaves[index], proof)
    other = data.draw(st.integers(0, size))
    wrong = [
        (grown.roots[size - 1], size, index, grown.leaves[index], proof),
        (grown.roots[size], size, index, EMPTY_ROOT, proof),
        (grown.roots[size], size, index, grown.leaves[index], [*proof, EMPTY_ROOT]),
        (grown.roots[size], size, index, grown.leaves[index], changed(proof, data.draw(DAMAGE))),
    ]
    if other != index:
        wrong.append((grown.roots[size], size, other, grown.leaves[index], proof))
    for arguments in wrong:
        with pytest.raises(ProofInvalid):
            check_inclusion(*arguments)


@given(st.data())
@settings(max_examples=150)
def test_every_consistency_proof(grown: Grown, data: st.DataObject) -> None:
    """Each tree continues each one before it, and the proof proves nothing else."""
    size = data.draw(st.integers(1, 1_100))
    old = data.draw(st.integers(1, size))
    proof = grown.consistency(old, size)
    check_consistency(grown.roots[old], old, grown.roots[size], size, proof)
    wrong = [
        (grown.roots[old - 1], old, grown.roots[size], size, proof),
        (grown.roots[old], old, grown.roots[size - 1], size, proof),
        (grown.roots[old], old, grown.roots[size], size, [*proof, EMPTY_ROOT]),
        (grown.roots[size], size, grown.roots[old], old - 1, proof),
    ]
    if proof:
        wrong.append((grown.roots[old], old, grown.roots[size], size, changed(proof, data.draw(DAMAGE))))
    for arguments in wrong:
        with pytest.raises(ProofInvalid):
            check_consistency(*arguments)


@given(st.integers(0, 1_100), st.integers(0, 300))
@settings(max_examples=60)
def test_a_tree_goes_on_from_its_edge(grown: Grown, size: int, more: int) -> None:
    """Size and edge tiles are all that growing needs."""
    first = Tree()
    first.append(grown.leaves[:size])
    again = Tree(size, first.edge())
    assert again.root() == grown.roots[size]
    end = min(size + more, 1_100)
    again.append(grown.leaves[size:end])
    assert (again.size, again.root()) == (end, grown.roots[end])
    assert set(again.edge()) == set(edge_keys(end))


def test_an_edge_of_another_tree_is_refused(grown: Grown) -> None:
    """Tiles that do not fit the size are not built upon."""
    tree = Tree()
    tree.append(grown.leaves[:300])
    with pytest.raises(ValueError, match="does not fit a tree of 301 leaves"):
        Tree(301, tree.edge())
    with pytest.raises(ValueError, match="does not fit"):
        Tree(300)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 3)])
def test_no_such_leaf(index: int, size: int) -> None:
    """A leaf beyond the tree has no proof."""
    with pytest.raises(ValueError, match="has no leaf"):
        inclusion_path(index, size)


def test_no_such_tree() -> None:
    """A tree does not continue a larger one."""
    with pytest.raises(ValueError, match="cannot continue"):
        consistency_path(6, 5)


def changed(proof: list[bytes], damage: tuple[int, int]) -> list[bytes]:
    """A proof with one bit of one byte the other way round, or without its only part."""
    if not proof:
        return [EMPTY_ROOT]
    part, bit = damage[0] % len(proof), damage[1]
    flipped = bytearray(proof[part])
    flipped[bit // 8] ^= 1 << bit % 8
    return [*proof[:part], bytes(flipped), *proof[part + 1 :]]
