//! Merkle trees over digests: leaves and inner nodes are hashed in domains of their own, so that neither passes for
//! the other. Neighbours are paired level by level, and one that is left over moves up as it is (the tree of RFC 6962).
//! How many leaves a tree has is never taken from whoever shows a path: it follows from recipe and model.

use std::sync::LazyLock;

use super::digest::Digest;

static LEAF: LazyLock<blake3::Hasher> = LazyLock::new(|| blake3::Hasher::new_derive_key("l402/merkle/leaf/1"));
static NODE: LazyLock<blake3::Hasher> = LazyLock::new(|| blake3::Hasher::new_derive_key("l402/merkle/node/1"));

/// The hash of a leaf's content.
pub fn leaf(content: &[u8]) -> Digest {
    let mut hasher = LEAF.clone();
    hasher.update(content);
    hasher.into()
}

/// The hash of an inner node.
pub fn node(left: &Digest, right: &Digest) -> Digest {
    let mut hasher = NODE.clone();
    hasher.update(&left.0).update(&right.0);
    hasher.into()
}

/// A whole tree: the leaves' level first, the root's last.
#[derive(Clone, Debug)]
pub struct Tree {
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// The tree over these leaves, at least one.
    pub fn new(leaves: Vec<Digest>) -> Tree {
        assert!(!leaves.is_empty(), "a tree has at least one leaf");
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            levels.push(below.chunks(2).map(|pair| if let [l, r] = pair { node(l, r) } else { pair[0] }).collect());
        }
        Tree { levels }
    }

    /// The root.
    pub fn root(&self) -> Digest {
        self.levels[self.levels.len() - 1][0]
    }

    /// How many levels there are, the root's among them.
    pub fn height(&self) -> usize {
        self.levels.len()
    }

    /// A node, counted from the left; level 0 is the leaves'.
    pub fn get(&self, level: usize, index: usize) -> Option<Digest> {
        self.levels.get(level)?.get(index).copied()
    }

    /// What [`climb`] needs beside the leaf with this index to arrive at the root: the siblings, from below.
    pub fn path(&self, index: usize) -> Vec<Digest> {
        let sibling = |(level, nodes): (usize, &Vec<Digest>)| nodes.get((index >> level) ^ 1).copied();
        self.levels.iter().enumerate().filter_map(sibling).collect()
    }
}

/// The root over these leaves, at least one.
pub fn root(leaves: Vec<Digest>) -> Digest {
    Tree::new(leaves).root()
}

/// How long the path of a leaf is in a tree of `count` leaves.
pub fn path_len(mut index: usize, mut count: usize) -> usize {
    let mut len = 0;
    while count > 1 {
        len += usize::from(index ^ 1 < count);
        (index, count) = (index / 2, count.div_ceil(2));
    }
    len
}

/// The root that a leaf and its path lead to in a tree of `count` leaves; `None` for a path of another length or a leaf
/// beyond the tree.
pub fn climb(leaf: Digest, mut index: usize, mut count: usize, path: &[Digest]) -> Option<Digest> {
    if index >= count {
        return None;
    }
    let (mut at, mut path) = (leaf, path.iter());
    while count > 1 {
        if index ^ 1 < count {
            let sibling = path.next()?;
            at = if index.is_multiple_of(2) { node(&at, sibling) } else { node(sibling, &at) };
        }
        (index, count) = (index / 2, count.div_ceil(2));
    }
    path.next().is_none().then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: usize) -> Vec<Digest> {
        (0..count).map(|i| leaf(&[i as u8])).collect()
    }

    #[test]
    fn every_path_leads_to_the_root_and_no_other_does() {
        for count in 1..40 {
            let tree = Tree::new(leaves(count));
            for index in 0..count {
                let (own, path) = (leaf(&[index as u8]), tree.path(index));
                assert_eq!(path.len(), path_len(index, count));
                assert_eq!(climb(own, index, count, &path), Some(tree.root()));
                assert_ne!(climb(leaf(b"other"), index, count, &path), Some(tree.root()));
                for other in (0..count).filter(|other| *other != index) {
                    assert_ne!(climb(own, other, count, &path), Some(tree.root()), "{index} as {other} of {count}");
                }
                let mut bent = path.clone();
                bent.push(own);
                assert_eq!(climb(own, index, count, &bent), None);
                if let Some(last) = path.len().checked_sub(1) {
                    assert_eq!(climb(own, index, count, &path[..last]), None);
                    bent = path.clone();
                    bent[last].0[7] ^= 1;
                    assert_ne!(climb(own, index, count, &bent), Some(tree.root()));
                }
            }
            assert_eq!(climb(leaf(&[0]), count, count, &tree.path(0)), None);
        }
    }

    #[test]
    fn the_tree_is_that_of_rfc_6962() {
        let l = leaves(5);
        let left = node(&node(&l[0], &l[1]), &node(&l[2], &l[3]));
        assert_eq!(root(l.clone()), node(&left, &l[4]));
        assert_eq!(root(l[..1].to_vec()), l[0]);
        assert_eq!(root(l[..3].to_vec()), node(&node(&l[0], &l[1]), &l[2]));
    }

    #[test]
    fn a_node_is_no_leaf() {
        let l = leaves(2);
        assert_ne!(leaf(&[l[0].0, l[1].0].concat()), node(&l[0], &l[1]));
    }
}
