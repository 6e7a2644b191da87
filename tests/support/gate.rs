//! A way to a server that a test can close and open again, as if the server had gone and come back.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A way to the server that can be closed.
pub struct Gate {
    /// Where its clients come in.
    pub port: u16,
    is_closed: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Gate {
    /// A way to a port of this machine, open.
    pub fn to(port: u16) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate =
            Gate { port: listener.local_addr().unwrap().port(), is_closed: Arc::default(), open: Arc::default() };
        let (is_closed, open) = (Arc::clone(&gate.is_closed), Arc::clone(&gate.open));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut open = open.lock().unwrap();
                if is_closed.load(Ordering::SeqCst) {
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                for (mut from, mut to) in [(&client, &server), (&server, &client)]
                    .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()))
                {
                    std::thread::spawn(move || {
                        let mut bytes = [0; 4096];
                        while let Ok(count @ 1..) = from.read(&mut bytes) {
                            if to.write_all(&bytes[..count]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                open.extend([client, server]);
            }
        });
        gate
    }

    /// Ends all connections, and lets none come about.
    pub fn close(&self) {
        let mut open = self.open.lock().unwrap();
        self.is_closed.store(true, Ordering::SeqCst);
        open.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    /// Lets clients pass again.
    pub fn open(&self) {
        self.is_closed.store(false, Ordering::SeqCst);
    }
}
