//! A web server on this machine that answers as it is told, well or badly.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the server knows the file by, unless told otherwise.
pub(crate) const TAG: &str = "\"v1\"";

/// One answer. The file's bytes are those that the server was started with.
#[derive(Clone)]
pub(crate) enum Answer {
    /// The file, or the rest of it where that is asked for and `If-Range` fits.
    Good,
    /// Like `Good`, but the connection ends after so many bytes of the body.
    CutAfter(usize),
    /// Like `Good`, but nothing more comes after so many bytes of the body.
    StallAfter(usize),
    /// Nothing at all.
    Silence,
    /// The whole file, whatever range is asked for.
    Whole,
    /// The whole file, of which no version is known; without ranges.
    Untagged,
    /// The whole file in chunks, without its length.
    Chunked,
    /// The whole file under a wrong `Content-Length`; then the connection ends.
    Length(usize),
    /// For a range, another one than was asked for.
    WrongRange,
    /// These bytes under this status.
    Other(u16, &'static str),
    /// Another version of the file, with a tag of its own.
    Changed(Vec<u8>),
    /// The file is elsewhere.
    Redirect(String),
}

/// The server; it ends with the process.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Request {
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
}

impl Server {
    /// Serves `file` by these answers, one a request; the last one goes on for ever.
    pub(crate) fn start(file: &[u8], answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/cell_images.zip", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (file, answers, seen) = (file.to_vec(), answers.to_vec(), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = read(&stream) else { continue };
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(request.clone());
                    seen.len() - 1
                };
                let answer = answers.get(number).or(answers.last()).unwrap().clone();
                let file = file.clone();
                // A connection that stalls must not keep the next one waiting.
                thread::spawn(move || {
                    // The client may hang up on what it does not like.
                    let _ = send(&mut stream, &file, &request, answer);
                });
            }
        });
        Self { url, requests }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The start of each range that was asked for; 0 for the whole.
    pub(crate) fn starts(&self) -> Vec<usize> {
        self.requests().iter().map(|request| start(request).unwrap_or(0)).collect()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut request = Request::default();
    for line in BufReader::new(stream).lines() {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(": ") else {
            if line.is_empty() {
                return Some(request);
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value.to_owned()),
            "if-range" => request.if_range = Some(value.to_owned()),
            _ => {}
        }
    }
    None
}

fn start(request: &Request) -> Option<usize> {
    request.range.as_ref()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

fn send(stream: &mut TcpStream, file: &[u8], request: &Request, answer: Answer) -> std::io::Result<()> {
    let whole = |tag: &str, file: &[u8]| {
        format!(
            "HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            file.len()
        )
    };
    let fits = request.if_range.as_deref().is_none_or(|tag| tag == TAG);
    let (head, body) = match start(request).filter(|_| fits) {
        Some(from) if from < file.len() => {
            let range = format!("bytes {from}-{}/{}", file.len() - 1, file.len());
            let rest = &file[from..];
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nETag: {TAG}\r\nContent-Range: {range}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                rest.len()
            );
            (head, rest)
        }
        Some(_) => (
            format!(
                "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                file.len()
            ),
            &[][..],
        ),
        None => (whole(TAG, file), file),
    };
    match answer {
        Answer::Good => {
            stream.write_all(head.as_bytes())?;
            stream.write_all(body)
        }
        Answer::CutAfter(bytes) => {
            stream.write_all(head.as_bytes())?;
            stream.write_all(&body[..bytes.min(body.len())])
        }
        Answer::StallAfter(bytes) => {
            stream.write_all(head.as_bytes())?;
            stream.write_all(&body[..bytes.min(body.len())])?;
            thread::sleep(Duration::from_secs(60));
            Ok(())
        }
        Answer::Silence => {
            thread::sleep(Duration::from_secs(60));
            Ok(())
        }
        Answer::Whole => {
            stream.write_all(whole(TAG, file).as_bytes())?;
            stream.write_all(file)
        }
        Answer::Untagged => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", file.len())?;
            // Half of it, so that there would be something to go on with.
            stream.write_all(&file[..file.len() / 2])
        }
        Answer::Chunked => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")?;
            for chunk in file.chunks(1000) {
                write!(stream, "{:x}\r\n", chunk.len())?;
                stream.write_all(chunk)?;
                stream.write_all(b"\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")
        }
        Answer::Length(length) => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
            stream.write_all(file)
        }
        Answer::WrongRange => {
            write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-{}/{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                file.len() - 1,
                file.len(),
                file.len() - 1
            )?;
            stream.write_all(&file[1..])
        }
        Answer::Other(status, text) => {
            write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            )
        }
        Answer::Changed(other) => {
            stream.write_all(whole("\"v2\"", &other).as_bytes())?;
            stream.write_all(&other)
        }
        Answer::Redirect(url) => write!(
            stream,
            "HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ),
    }
}
