//! A process of `malaria-edge serve`, and pictures to send to it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use malaria_dataset::{SyntheticConfig, synthetic_cell};
use serde_json::Value;

pub(crate) fn model() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-f32.onnx")
}

/// A server that ends with the test.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_malaria-edge"));
        command.arg("serve").arg(model()).args(["--port", "0"]);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").and_then(|rest| rest.strip_suffix('/'));
        Self { address: address.unwrap_or_else(|| panic!("{line}")).parse().unwrap(), process }
    }

    /// Sends `head` and `body`, and returns the status, head and body of the answer.
    pub(crate) fn send(&self, head: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        let head = format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // The server may refuse the request before all is sent.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer with a head");
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, answer[end + 4..].to_vec())
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String, Vec<u8>) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.address), b"")
    }

    pub(crate) fn post(&self, path: &str, kind: &str, body: &[u8]) -> (u16, Value) {
        let head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\n", self.address);
        let (status, _, body) = self.send(&head, body);
        (
            status,
            serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&body))),
        )
    }

    pub(crate) fn classify(&self, pictures: &[(String, Vec<u8>)]) -> (u16, Value) {
        self.post("/classify", FORM, &form(pictures))
    }

    /// A value in `/proc/PID/status`.
    #[cfg(target_os = "linux")]
    pub(crate) fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Peak memory of the process, in MiB.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM") / 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) const FORM: &str = "multipart/form-data; boundary=between";

pub(crate) fn form(pictures: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, bytes) in pictures {
        let head = format!(
            "--between\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"{name}\"\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--between--\r\n");
    body
}

/// Writes synthetic cells to `folder` and returns their names and bytes, sorted by name.
pub(crate) fn write_cells(folder: &Path, count: usize) -> Vec<(String, Vec<u8>)> {
    let config = SyntheticConfig { seed: 9, patients: 4, ..SyntheticConfig::default() };
    let mut pictures: Vec<_> = (0..count)
        .map(|cell| {
            let cell = synthetic_cell(&config, cell).unwrap();
            let path = folder.join(&cell.file_name);
            cell.image.save(&path).unwrap();
            (cell.file_name, fs::read(path).unwrap())
        })
        .collect();
    pictures.sort();
    pictures
}
