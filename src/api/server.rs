//! A server on a thread of its own, from when it is started until it is dropped.
//!
//! Knows nothing of what is served.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use axum::Router;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// A server that answers as long as it is kept.
pub struct Server {
    address: SocketAddr,
    /// Dropped to end it.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on '{address}'")]
pub struct ServeError {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Server {
    /// Answers at `address` by `routes`; port 0 takes one that is free.
    pub fn start(address: SocketAddr, routes: Router) -> Result<Server, ServeError> {
        start(address, routes).map_err(|source| ServeError { address, source })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    /// Ends it at once: connections that are open are closed.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was told by its own message.
            let _ = thread.join();
        }
    }
}

fn start(address: SocketAddr, routes: Router) -> io::Result<Server> {
    // On the caller's thread, who so learns what goes wrong.
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (stop, stopped) = oneshot::channel();
    let serve = move || serve(&runtime, listener, routes, stopped);
    let thread = std::thread::Builder::new().name("http".to_owned()).spawn(serve)?;
    Ok(Server { address, stop: Some(stop), thread: Some(thread) })
}

fn serve(runtime: &Runtime, listener: TcpListener, routes: Router, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        tokio::spawn(async {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                // It never ends by itself: connections that can't be taken are taken later.
                let _ = axum::serve(listener, routes).await;
            }
        });
        // What is dropped ends it too.
        let _ = stopped.await;
    });
}
