//! The tree of back pointers: branches that no state needs any more are removed, and what all survivors share is settled.

use super::{Engine, Event, Node};
use crate::decode::strand_tables::IMPOSSIBLE;

impl Engine {
    /// Removes nodes that no state can trace back to, and settles those that all states share.
    pub(super) fn collect(&mut self) {
        let mut keep = vec![false; self.nodes.len()];
        keep[0] = true;
        for (slot, &base) in self.base.iter().enumerate() {
            if base > IMPOSSIBLE {
                keep[self.node[slot] as usize] = true;
            }
        }
        let kept = self.split_open.iter().flatten().filter(|kept| kept.value > IMPOSSIBLE).map(|kept| kept.node);
        for node in kept.chain(self.ring.iter().flatten().map(|pending| pending.node)) {
            keep[node as usize] = true;
        }
        let roots = keep.clone();
        // Parents stand before their children.
        let mut children = vec![0u32; self.nodes.len()];
        for i in (1..self.nodes.len()).rev() {
            if keep[i] {
                let parent = self.nodes[i].previous as usize;
                keep[parent] = true;
                children[parent] += 1;
            }
        }
        // Down from the root while there is one way to go, and no state rests here.
        let mut trunk = 0usize;
        let mut only_child: Vec<u32> = vec![0; self.nodes.len()];
        for i in 1..self.nodes.len() {
            if keep[i] {
                only_child[self.nodes[i].previous as usize] = i as u32;
            }
        }
        while children[trunk] == 1 && (trunk == 0 && !self.rests_on_root() || trunk != 0 && !roots[trunk]) {
            trunk = only_child[trunk] as usize;
            self.settled.push(self.nodes[trunk]);
        }
        let mut moved = vec![0u32; self.nodes.len()];
        let mut nodes = vec![self.nodes[trunk]];
        nodes[0].previous = 0;
        let mut on_trunk = trunk;
        while on_trunk != 0 {
            keep[on_trunk] = false;
            on_trunk = self.nodes[on_trunk].previous as usize;
        }
        for i in 1..self.nodes.len() {
            if keep[i] {
                moved[i] = nodes.len() as u32;
                let mut node = self.nodes[i];
                node.previous = moved[node.previous as usize];
                nodes.push(node);
            }
        }
        self.nodes = nodes;
        for node in &mut self.node {
            *node = moved[*node as usize];
        }
        for pending in self.ring.iter_mut().flatten() {
            pending.node = moved[pending.node as usize];
        }
        for kept in self.split_open.iter_mut().flatten() {
            kept.node = moved[kept.node as usize];
        }
        self.collect_at = (2 * self.nodes.len()).max(1 << 18);
    }

    /// Brings [`Engine::take_settled`] up to date.
    pub fn settle(&mut self) {
        self.collect();
    }

    /// Nodes of the best path that no later evidence can change, since the last call.
    pub fn take_settled(&mut self) -> Vec<Node> {
        std::mem::take(&mut self.settled)
    }

    /// After [`Engine::settle`]: if the settled path ends between genes (`last` is its last node), the place up to which
    /// no gene that may still be chosen opens.
    pub fn quiet_after(&self, last: Option<&Node>) -> Option<usize> {
        if last.is_some_and(|node| node.event != Event::Close) {
            return None;
        }
        let first = self.nodes[1..].iter().filter(|node| node.previous == 0);
        let mut end = self.at;
        for node in first {
            if !matches!(node.event, Event::Open) {
                return None;
            }
            end = end.min(node.position as usize);
        }
        Some(end)
    }

    /// Whether a state or a waiting entry traces back to the root directly.
    fn rests_on_root(&self) -> bool {
        self.base.iter().zip(&self.node).any(|(&base, &node)| base > IMPOSSIBLE && node == 0)
            || self.ring.iter().flatten().any(|pending| pending.node == 0)
            || self.split_open.iter().flatten().any(|kept| kept.value > IMPOSSIBLE && kept.node == 0)
    }
}
