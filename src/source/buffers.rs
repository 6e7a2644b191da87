//! Buffers for blocks, used again: a fresh megabyte costs 256 page faults.

use std::sync::{Mutex, PoisonError};

/// A bounded stock of empty buffers.
#[derive(Debug)]
pub struct Buffers {
    bytes: usize,
    stock_max: usize,
    stock: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// A stock of at most `stock_max` buffers of about `bytes` each.
    pub fn new(bytes: usize, stock_max: usize) -> Buffers {
        Buffers { bytes, stock_max, stock: Mutex::new(Vec::new()) }
    }

    /// An empty buffer.
    pub fn take(&self) -> Vec<u8> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Gives a buffer back. One that has grown far beyond the size of a block is let go.
    pub fn give(&self, mut buffer: Vec<u8>) {
        let mut stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        if stock.len() < self.stock_max && (self.bytes / 2..=self.bytes * 2).contains(&buffer.capacity()) {
            buffer.clear();
            stock.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_about_the_right_size_come_back_empty() {
        let buffers = Buffers::new(100, 2);
        for capacity in [100, 10, 1000, 150, 120] {
            let mut buffer = Vec::with_capacity(capacity);
            buffer.push(1);
            buffers.give(buffer);
        }
        let mut taken: Vec<_> = (0..3).map(|_| buffers.take()).collect();
        assert!(taken.iter().all(Vec::is_empty));
        taken.sort_by_key(Vec::capacity);
        assert_eq!(taken.iter().map(Vec::capacity).collect::<Vec<_>>(), [0, 100, 150]);
    }
}
