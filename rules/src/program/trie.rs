//! Many prefixes, or suffixes, of one text at once.
//!
//! A tree whose edges carry runs of bytes; a text is walked down as far as it goes, and every entry
//! met on the way is one of its prefixes. For suffixes both sides are read from their ends. A node's
//! children lie side by side, their first bytes in an array of their own, so a step is a search in a
//! few adjacent bytes.

use super::{Span, place};

/// The tree.
#[derive(Debug, Default)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    /// The first byte of each node's edge, by node.
    firsts: Vec<u8>,
    bytes: Vec<u8>,
    reversed: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// The bytes of the edge that leads here, in `bytes`.
    edge: Span,
    /// The children, in `nodes`.
    children: Span,
    /// What the caller keeps for the entry that ends here; empty when none does.
    value: Span,
}

impl Trie {
    /// Builds it of entries, each once. `reversed` reads entries and texts from their ends.
    pub(super) fn new(mut entries: Vec<(Vec<u8>, Span)>, reversed: bool) -> Trie {
        if reversed {
            entries.iter_mut().for_each(|(entry, _)| entry.reverse());
        }
        entries.sort_unstable();
        let mut trie = Trie { reversed, ..Trie::default() };
        if entries.is_empty() {
            return trie;
        }
        trie.nodes.push(Node::default());
        trie.firsts.push(0);
        // Node, its entries, how many of their bytes lead to it.
        let mut open = vec![(0usize, 0..entries.len(), 0usize)];
        while let Some((node, range, depth)) = open.pop() {
            let mut range = range;
            if let Some((entry, value)) = entries.get(range.start)
                && entry.len() == depth
            {
                trie.nodes[node].value = *value;
                range.start += 1;
            }
            let groups: Vec<_> = groups(&entries[range.clone()], depth)
                .map(|group| range.start + group.start..range.start + group.end)
                .collect();
            let first = trie.nodes.len();
            trie.nodes[node].children = (place(first), place(first + groups.len()));
            for group in groups {
                // Sorted, so what the first and the last share, all do.
                let (head, tail) = (&entries[group.start].0, &entries[group.end - 1].0);
                let shared = head.iter().zip(tail).take_while(|(one, other)| one == other).count();
                let edge = &head[depth..shared];
                let start = trie.bytes.len();
                trie.bytes.extend_from_slice(edge);
                trie.firsts.push(edge[0]);
                let edge = (place(start), place(trie.bytes.len()));
                open.push((trie.nodes.len(), group, shared));
                trie.nodes.push(Node { edge, ..Node::default() });
            }
        }
        trie
    }

    /// Whether it has no entries.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Shows what is kept for each entry that `text` begins with, or ends with.
    pub(super) fn each(&self, text: &[u8], mut see: impl FnMut(Span)) {
        let Some(root) = self.nodes.first() else { return };
        let mut node = *root;
        let mut walked = 0;
        loop {
            if node.value.0 != node.value.1 {
                see(node.value);
            }
            let left = text.len() - walked;
            if left == 0 {
                return;
            }
            let next = if self.reversed { text[left - 1] } else { text[walked] };
            let (first, last) = (node.children.0 as usize, node.children.1 as usize);
            let Some(child) = self.firsts[first..last].iter().position(|byte| *byte == next) else {
                return;
            };
            node = self.nodes[first + child];
            let edge = &self.bytes[node.edge.0 as usize..node.edge.1 as usize];
            if edge.len() > left {
                return;
            }
            let same = if self.reversed {
                text[left - edge.len()..left].iter().rev().eq(edge)
            } else {
                text[walked..walked + edge.len()] == *edge
            };
            if !same {
                return;
            }
            walked += edge.len();
        }
    }
}

/// Ranges of entries with the same byte at `depth`.
fn groups(
    entries: &[(Vec<u8>, Span)],
    depth: usize,
) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        let byte = entries.get(start)?.0[depth];
        let len = entries[start..].iter().take_while(|(entry, _)| entry[depth] == byte).count();
        let group = start..start + len;
        start += len;
        Some(group)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_a_look_at_each_finds(
            entries in prop::collection::btree_set("[ab]{1,6}", 0..20),
            texts in prop::collection::vec("[abc]{0,10}", 20),
            reversed in any::<bool>(),
        ) {
            let entries: Vec<String> = entries.into_iter().collect();
            let numbered = (0u32..).zip(&entries);
            let trie = Trie::new(
                numbered.map(|(at, entry)| (entry.clone().into_bytes(), (at, at + 1))).collect(),
                reversed,
            );
            prop_assert_eq!(trie.is_empty(), entries.is_empty());
            for text in texts {
                let mut found = BTreeSet::new();
                trie.each(text.as_bytes(), |(at, _)| {
                    found.insert(entries[at as usize].clone());
                });
                let expected: BTreeSet<String> = entries
                    .iter()
                    .filter(|entry| {
                        if reversed { text.ends_with(*entry) } else { text.starts_with(*entry) }
                    })
                    .cloned()
                    .collect();
                prop_assert_eq!(found, expected, "{}", text);
            }
        }
    }
}
