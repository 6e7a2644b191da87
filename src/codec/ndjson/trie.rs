//! The wanted paths as a trie, walked along with an event.
//!
//! Cells, the places for what is found, are numbered so that those under a node are neighbours: a key that appears
//! again voids all that its first appearance gave by clearing one range. Knows nothing of JSON text.

use std::ops::Range;

use crate::event::{Path, Segment};

/// Number of a node. The root, which stands for the whole event, is 0.
pub type NodeId = u32;

/// Which members and elements are wanted below one place of an event.
#[derive(Debug, Clone, Default)]
pub struct Node {
    keys: Vec<Key>,
    elements: Vec<(u32, NodeId)>,
    /// Where the value at this very place goes, if it is wanted itself.
    pub cell: Option<u32>,
    /// All cells at and below this place.
    pub cells: Range<u32>,
}

#[derive(Debug, Clone)]
struct Key {
    head: u64,
    key: Box<[u8]>,
    node: NodeId,
}

/// All wanted paths.
#[derive(Debug, Clone)]
pub struct Trie {
    nodes: Vec<Node>,
    /// The cell of each path, in the order in which they were given.
    pub cells: Vec<u32>,
    /// Number of cells.
    pub cell_count: usize,
}

impl Trie {
    /// The trie of `paths`; equal paths share a cell.
    pub fn new(paths: &[Path]) -> Trie {
        let mut trie = Trie { nodes: vec![Node::default()], cells: Vec::new(), cell_count: 0 };
        let ends: Vec<NodeId> = paths.iter().map(|path| trie.insert(path)).collect();
        for &end in &ends {
            trie.nodes[end as usize].cell = Some(0);
        }
        trie.number_cells();
        trie.cells = ends.iter().map(|&end| trie.node(end).cell.expect("each path's end has a cell")).collect();
        trie
    }

    /// A node by its number.
    #[inline(always)]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    fn insert(&mut self, path: &Path) -> NodeId {
        let mut at: NodeId = 0;
        for segment in &path.0 {
            let next = self.nodes.len() as NodeId;
            let node = &mut self.nodes[at as usize];
            let found = match segment {
                Segment::Key(key) => node.member(head_of(key.as_bytes()), key.as_bytes()),
                Segment::Index(index) => node.element(*index),
            };
            if let Some(found) = found {
                at = found;
                continue;
            }
            match segment {
                Segment::Key(key) => {
                    node.keys.push(Key { head: head_of(key.as_bytes()), key: key.as_bytes().into(), node: next });
                }
                Segment::Index(index) => node.elements.push((*index, next)),
            }
            self.nodes.push(Node::default());
            at = next;
        }
        at
    }

    /// Gives each wanted node its cell, parents before children, so that a subtree's cells are a range.
    fn number_cells(&mut self) {
        let mut next = 0;
        // Each node is met twice: to open its range, and to close it after its children.
        let mut to_do = vec![(0 as NodeId, false)];
        while let Some((id, children_done)) = to_do.pop() {
            let node = &mut self.nodes[id as usize];
            if children_done {
                node.cells.end = next;
                continue;
            }
            node.cells.start = next;
            if let Some(cell) = &mut node.cell {
                *cell = next;
                next += 1;
            }
            to_do.push((id, true));
            to_do.extend(node.keys.iter().map(|key| (key.node, false)));
            to_do.extend(node.elements.iter().map(|&(_, node)| (node, false)));
        }
        self.cell_count = next as usize;
    }
}

impl Node {
    /// The node of a member by its key; `head` is `head_of` it.
    #[inline(always)]
    pub fn member(&self, head: u64, key: &[u8]) -> Option<NodeId> {
        self.keys
            .iter()
            .find(|wanted| {
                wanted.head == head && wanted.key.len() == key.len() && (key.len() <= 8 || wanted.key[8..] == key[8..])
            })
            .map(|wanted| wanted.node)
    }

    /// The node of an element by its index.
    pub fn element(&self, index: u32) -> Option<NodeId> {
        self.elements.iter().find(|(wanted, _)| *wanted == index).map(|&(_, node)| node)
    }

    /// Whether some member is wanted, should there be an object here.
    #[inline(always)]
    pub fn wants_members(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Whether some element is wanted, should there be an array here.
    #[inline(always)]
    pub fn wants_elements(&self) -> bool {
        !self.elements.is_empty()
    }
}

/// The first eight bytes of a key, zeros after it if it is shorter.
pub fn head_of(key: &[u8]) -> u64 {
    let mut head = [0; 8];
    let len = key.len().min(8);
    head[..len].copy_from_slice(&key[..len]);
    u64::from_le_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_below_a_node_are_neighbours() {
        let paths = [
            Path::of_keys(&["properties", "amount"]),
            Path::of_keys(&["user_id"]),
            Path::of_keys(&["properties"]),
            Path(vec![Segment::Key("items".into()), Segment::Index(3), Segment::Key("id".into())]),
            Path::of_keys(&["properties", "currency"]),
            Path::of_keys(&["user_id"]),
        ];
        let trie = Trie::new(&paths);
        assert_eq!(trie.cell_count, 5);
        assert_eq!(trie.cells[1], trie.cells[5], "equal paths share a cell");
        let member = |node: NodeId, key: &str| trie.node(node).member(head_of(key.as_bytes()), key.as_bytes());
        let properties = member(0, "properties").unwrap();
        let range = trie.node(properties).cells.clone();
        assert_eq!(range.len(), 3);
        assert!([0, 2, 4].iter().all(|&path| range.contains(&trie.cells[path])));
        assert_eq!(trie.node(0).cells, 0..5);
        assert_eq!(member(0, "propertiez"), None);
        assert_eq!(member(0, "property"), None);
        assert_eq!(member(properties, "amount\0"), None, "a longer key is another, though it has the same head");
        let items = member(0, "items").unwrap();
        assert!(trie.node(items).wants_elements() && !trie.node(items).wants_members());
        assert_eq!(trie.node(items).element(2), None);
        assert!(member(trie.node(items).element(3).unwrap(), "id").is_some());
    }
}
