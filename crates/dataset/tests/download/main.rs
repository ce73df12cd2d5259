//! Downloads from a local server, with and without faults.

mod calls;
mod server;
mod support;
mod transfer;
mod unpacking;
