//! Read buffers: filled once, then shared and never written again, then used again.

use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;

/// Keeps the memory of spent buffers for the next read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    shelf: Arc<Shelf>,
}

#[derive(Debug)]
struct Shelf {
    room_bytes: usize,
    rooms_max: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

/// Memory to read into; becomes a [`Buffer`] by [`Pool::freeze`].
pub type Room = Vec<u8>;

/// Bytes that were read, shared by the events cut from them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Buffer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    room: Room,
    filled: usize,
    shelf: Option<Arc<Shelf>>,
}

impl Pool {
    /// A pool of rooms of `room_bytes`, of which it keeps at most `rooms_max` unused ones.
    #[must_use]
    pub fn new(room_bytes: usize, rooms_max: usize) -> Self {
        Pool { shelf: Arc::new(Shelf { room_bytes, rooms_max, free: Mutex::default() }) }
    }

    /// The size of a room.
    #[must_use]
    pub fn room_bytes(&self) -> usize {
        self.shelf.room_bytes
    }

    /// A room of at least [`Pool::room_bytes`], initialized with whatever it held before.
    #[must_use]
    pub fn room(&self) -> Room {
        let used = self.shelf.free.lock().pop();
        used.unwrap_or_else(|| vec![0; self.shelf.room_bytes])
    }

    /// Puts an unused room back.
    pub fn give_back(&self, room: Room) {
        self.shelf.take_back(room);
    }

    /// The first `filled` bytes of the room as a shared buffer. A room that is mostly empty is
    /// copied to its size and kept here, so that a trickle of lines does not pin large buffers.
    ///
    /// # Panics
    /// If `filled` is more than the room holds.
    #[must_use]
    pub fn freeze(&self, room: Room, filled: usize) -> Buffer {
        assert!(filled <= room.len(), "a buffer cannot be fuller than its room");
        if filled * 4 < room.len() {
            let exact = room[..filled].to_vec();
            self.shelf.take_back(room);
            return Buffer::from(exact);
        }
        Buffer { inner: Arc::new(Inner { room, filled, shelf: Some(self.shelf.clone()) }) }
    }
}

impl Shelf {
    fn take_back(&self, room: Room) {
        // A room that grew for one giant line is not worth keeping.
        if room.len() == self.room_bytes {
            let mut free = self.free.lock();
            if free.len() < self.rooms_max {
                free.push(room);
            }
        }
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        let filled = bytes.len();
        Buffer { inner: Arc::new(Inner { room: bytes, filled, shelf: None }) }
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.inner.room[..self.inner.filled]
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(shelf) = self.shelf.take() {
            shelf.take_back(std::mem::take(&mut self.room));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_buffer_is_read_into_again() {
        let pool = Pool::new(64, 2);
        let mut room = pool.room();
        room[..40].fill(b'x');
        let address = room.as_ptr();
        let buffer = pool.freeze(room, 40);
        let other = buffer.clone();
        drop(buffer);
        assert_eq!(&other[..], [b'x'; 40]);
        let fresh = pool.room();
        assert_ne!(fresh.as_ptr(), address);
        drop(other);
        let again = pool.room();
        assert_eq!(again.as_ptr(), address);
    }

    #[test]
    fn a_trickle_does_not_pin_a_large_room() {
        let pool = Pool::new(1024, 2);
        let mut room = pool.room();
        room[..3].copy_from_slice(b"abc");
        let address = room.as_ptr();
        let buffer = pool.freeze(room, 3);
        assert_eq!(&buffer[..], b"abc");
        let again = pool.room();
        assert_eq!(again.as_ptr(), address);
    }
}
