//! Down two Merkle trees to the first leaf in which they differ: one exchange a level.

use super::questions::Tree;
use super::session::{Go, Session, Stop, lost};
use crate::artifact::{Digest, merkle};
use crate::error::Error;

/// The first leaf in which two trees of `count` leaves differ, whose roots do. Every subtree to the left of it is equal
/// in both, so both agree on every leaf before it.
pub(super) fn descend(session: &mut Session<'_>, tree: Tree, count: usize, roots: [Digest; 2]) -> Go<usize> {
    if roots[0] == roots[1] {
        return Err(Stop::Failed(Error::bug("a descent where the roots are equal")));
    }
    let mut widths = vec![count];
    while let Some(&width) = widths.last().filter(|width| **width > 1) {
        widths.push(width.div_ceil(2));
    }
    let (mut index, mut at) = (0, roots);
    for level in (1..widths.len()).rev() {
        let left = 2 * index;
        if left + 1 == widths[level - 1] {
            // A node that is left over is its only child.
            index = left;
            continue;
        }
        let children = session.children(tree, level, index)?;
        lost([0, 1].map(|i| {
            let [l, r] = &children[i];
            (merkle::node(l, r) != at[i]).then(|| {
                format!("node {index} of level {level} of its {}: the two below do not hash to it", name(tree))
            })
        }))?;
        let side = usize::from(children[0][0] == children[1][0]);
        index = left + side;
        at = [children[0][side], children[1][side]];
    }
    Ok(index)
}

fn name(tree: Tree) -> &'static str {
    match tree {
        Tree::Leaves => "leaves",
        Tree::Steps => "steps",
        Tree::Trace => "trace",
    }
}
