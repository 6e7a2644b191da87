//! A proxy between clients and a broker, which understands just enough of Kafka's framing to lose answers: each request and answer
//! begins with its length, a request goes on with its kind, version and number, an answer with the request's number.
//!
//! The broker has a second door for it and tells the clients that come by it to come to the proxy, so that none finds a way around.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The kind of a request that ends a transaction.
const END_TXN: i16 = 26;
/// The kind of a request that writes records.
const PRODUCE: i16 = 0;

/// What the proxy does to those who pass.
#[derive(Debug, Default)]
pub struct Rules {
    /// So many answers to EndTxn are lost, and their connections with them.
    pub cut_answers: AtomicU32,
    /// So many answers to EndTxn are lost, and their connections stay as if the broker were slow.
    pub swallow_answers: AtomicU32,
    /// Answers to Produce are held back so long.
    pub produce_delay_ms: AtomicU64,
    /// New connections are refused.
    pub is_closed: AtomicBool,
    /// Answers lost so far.
    pub lost: AtomicU32,
}

/// A proxy at work, until it is dropped.
pub struct Proxy {
    /// What it does.
    pub rules: Arc<Rules>,
    is_enough: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens at `front`, and passes on to `behind`.
    pub fn start(front: &str, behind: &str) -> Proxy {
        let listener = TcpListener::bind(front).unwrap_or_else(|error| panic!("cannot listen at '{front}': {error}"));
        listener.set_nonblocking(true).unwrap();
        let mut proxy =
            Proxy { rules: Arc::default(), is_enough: Arc::default(), connections: Arc::default(), thread: None };
        let (rules, is_enough, connections) = (proxy.rules.clone(), proxy.is_enough.clone(), proxy.connections.clone());
        let behind = behind.to_owned();
        proxy.thread = Some(std::thread::spawn(move || {
            while !is_enough.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((client, _)) if !rules.is_closed.load(Ordering::Relaxed) => {
                        // A broker that is away refuses, and so do we, by closing.
                        let _ = connect(client, &behind, &rules, &connections);
                    }
                    Ok(_) => {}
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        }));
        proxy
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.is_enough.store(true, Ordering::Relaxed);
        self.cut();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The kinds of the requests of one connection that have no answer yet, by their numbers.
type Asked = Arc<Mutex<HashMap<i32, i16>>>;

fn connect(client: TcpStream, behind: &str, rules: &Arc<Rules>, all: &Mutex<Vec<TcpStream>>) -> io::Result<()> {
    let broker = TcpStream::connect(behind)?;
    client.set_nonblocking(false)?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    all.lock().unwrap().extend([client.try_clone()?, broker.try_clone()?]);
    let asked: Asked = Arc::default();
    let (from, to, noted) = (client.try_clone()?, broker.try_clone()?, asked.clone());
    std::thread::spawn(move || until_closed(from, to, |frame, to| note(frame, to, &noted)));
    let rules = rules.clone();
    std::thread::spawn(move || until_closed(broker, client, |frame, to| answer(frame, to, &asked, &rules)));
    Ok(())
}

/// Hands frames from one side to the other, until either is closed or `pass` wants no more; then both are.
fn until_closed(mut from: TcpStream, mut to: TcpStream, mut pass: impl FnMut(&[u8], &mut TcpStream) -> io::Result<()>) {
    let mut frame = Vec::new();
    while read_frame(&mut from, &mut frame).and_then(|()| pass(&frame, &mut to)).is_ok() {}
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Reads a frame with its length before it.
fn read_frame(from: &mut TcpStream, frame: &mut Vec<u8>) -> io::Result<()> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    frame.clear();
    frame.extend_from_slice(&length);
    frame.resize(4 + u32::from_be_bytes(length) as usize, 0);
    from.read_exact(&mut frame[4..])
}

/// Passes a request on, once it is known what its answer will answer.
fn note(frame: &[u8], to: &mut TcpStream, asked: &Asked) -> io::Result<()> {
    let (kind, number) = (i16::from_be_bytes([frame[4], frame[5]]), number_at(frame, 8));
    asked.lock().unwrap().insert(number, kind);
    to.write_all(frame)
}

/// Passes an answer on, late, or not at all.
fn answer(frame: &[u8], to: &mut TcpStream, asked: &Asked, rules: &Rules) -> io::Result<()> {
    let kind = asked.lock().unwrap().remove(&number_at(frame, 4));
    match kind {
        Some(END_TXN) if take_one(&rules.cut_answers) => {
            rules.lost.fetch_add(1, Ordering::Relaxed);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Some(END_TXN) if take_one(&rules.swallow_answers) => {
            rules.lost.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        Some(PRODUCE) => std::thread::sleep(Duration::from_millis(rules.produce_delay_ms.load(Ordering::Relaxed))),
        _ => {}
    }
    to.write_all(frame)
}

fn number_at(frame: &[u8], at: usize) -> i32 {
    frame.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(-1, i32::from_be_bytes)
}

fn take_one(count: &AtomicU32) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1)).is_ok()
}
