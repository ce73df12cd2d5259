//! A local web server with scripted answers.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// One answer. The file is the one that the server was started with.
#[derive(Clone)]
pub(crate) enum Answer {
    /// The requested range of the file.
    Good,
    /// As `Good`, but the connection ends after this number of bytes.
    CutAfter(usize),
    /// As `Good`, but nothing is sent after this number of bytes.
    StallAfter(usize),
    /// The whole file for any range.
    Whole,
    /// Another range than requested.
    WrongRange,
    /// The first bytes of another file, whose length is announced; then the connection ends.
    Start(Vec<u8>, usize),
    /// This text as HTML under this status.
    Other(u16, &'static str),
}

/// A server that runs until the process ends.
pub(crate) struct Server {
    pub(crate) url: String,
    starts: Arc<Mutex<Vec<usize>>>,
}

impl Server {
    /// Serves `file` with one of `answers` per request; the last one is repeated.
    pub(crate) fn start(file: &[u8], answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/cell_images.zip", listener.local_addr().unwrap());
        let starts = Arc::new(Mutex::new(Vec::new()));
        let (file, answers, seen) = (file.to_vec(), answers.to_vec(), Arc::clone(&starts));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let start = requested_start(&stream);
                let number = seen.lock().unwrap().len();
                seen.lock().unwrap().push(start);
                let answer = answers.get(number).or(answers.last()).unwrap().clone();
                let file = file.clone();
                // A connection that stalls must not block the next one. Clients may hang up.
                thread::spawn(move || send(&mut stream, &file, start, answer));
            }
        });
        Self { url, starts }
    }

    /// First byte requested by each request.
    pub(crate) fn starts(&self) -> Vec<usize> {
        self.starts.lock().unwrap().clone()
    }
}

fn requested_start(stream: &TcpStream) -> usize {
    let lines = BufReader::new(stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    let start = lines.filter_map(|line| {
        line.to_ascii_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok()
    });
    // Reads all headers.
    start.last().unwrap_or(0)
}

fn send(stream: &mut TcpStream, file: &[u8], start: usize, answer: Answer) -> std::io::Result<()> {
    let kind =
        if matches!(answer, Answer::Other(..)) { "text/html; charset=utf-8" } else { "application/zip" };
    let mut head = |status: u16, range: Option<(usize, usize)>, length: usize| {
        let range = range.map_or_else(String::new, |(start, of)| {
            format!("Content-Range: bytes {start}-{}/{of}\r\n", start + length - 1)
        });
        let head = format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{range}Content-Length: {length}");
        write!(stream, "{head}\r\nConnection: close\r\n\r\n")
    };
    let body = &file[start.min(file.len())..];
    match &answer {
        Answer::Other(status, text) => head(*status, None, text.len())?,
        Answer::Whole => head(200, None, file.len())?,
        Answer::Start(other, _) => head(200, None, other.len())?,
        Answer::WrongRange => head(206, Some((1, file.len())), file.len() - 1)?,
        _ if start == 0 => head(200, None, file.len())?,
        _ if body.is_empty() => head(416, None, 0)?,
        _ => head(206, Some((start, file.len())), body.len())?,
    }
    match answer {
        Answer::Good => stream.write_all(body),
        Answer::CutAfter(bytes) => stream.write_all(&body[..bytes.min(body.len())]),
        Answer::StallAfter(bytes) => {
            stream.write_all(&body[..bytes.min(body.len())])?;
            thread::sleep(Duration::from_secs(60));
            Ok(())
        }
        Answer::Whole => stream.write_all(file),
        Answer::WrongRange => stream.write_all(&file[1..]),
        Answer::Start(other, bytes) => stream.write_all(&other[..bytes]),
        Answer::Other(_, text) => stream.write_all(text.as_bytes()),
    }
}
