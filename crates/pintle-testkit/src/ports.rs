//! Ports: a free one, and one that refuses.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// A loopback port that nobody listened on a moment ago, for a process that must be told its port.
///
/// Between this call and the use another process may take it; whoever can bind port 0 itself should.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port can be bound");
    listener.local_addr().expect("a bound listener has an address").port()
}

/// A loopback address that refuses connections, and keeps refusing while this value lives: the port is
/// bound, so that nobody else gets it, but nobody listens.
#[derive(Debug)]
pub struct RefusedAddr {
    _socket: tokio::net::TcpSocket,
    addr: SocketAddr,
}

impl RefusedAddr {
    /// The address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address as a provider's base URL.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }
}

/// An address whose every connection attempt fails with "connection refused".
#[must_use]
pub fn connect_refused_addr() -> RefusedAddr {
    let socket = tokio::net::TcpSocket::new_v4().expect("a TCP socket can be made");
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a loopback port can be bound");
    let addr = socket.local_addr().expect("a bound socket has an address");
    RefusedAddr { _socket: socket, addr }
}
