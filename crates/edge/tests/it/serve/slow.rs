//! `malaria-edge serve`: slow clients and heavy requests.

use std::{
    io::{Cursor, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use image::ImageFormat;
use malaria_dataset::{SmearConfig, synthetic_smear};

use crate::server::{FORM, Server, form, write_cells};

fn photograph() -> (String, Vec<u8>) {
    let config =
        SmearConfig { width: 480, height: 360, cell_diameter: 48.0, cells: 20, ..SmearConfig::default() };
    let mut bytes = Cursor::new(Vec::new());
    synthetic_smear(&config).unwrap().image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    ("a.png".to_owned(), bytes.into_inner())
}

#[test]
fn slow_clients_are_disconnected_and_others_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = write_cells(folder.path(), 2);
    let server = Server::start();
    let host = server.address;
    let half = |words: String, count: usize| {
        (0..count).map(move |_| {
            let mut stream = TcpStream::connect(host).unwrap();
            stream.write_all(words.as_bytes()).unwrap();
            stream
        })
    };
    let body = |path: &str, kind: &str, begun: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: 9999\r\n\r\n{begun}"
        )
    };
    let slow: Vec<TcpStream> = half("GET / HTT".to_owned(), 50)
        .chain(half(format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-More: "), 50))
        .chain(half(body("/classify", FORM, "--between\r\n"), 4))
        .chain(half(body("/patients", "application/json", "["), 4))
        // As many as are admitted at once.
        .chain(half(body("/smear", FORM, "--between\r\n"), 12))
        // Refused at once.
        .chain(half(body("/nowhere", "text/plain", "wo"), 4))
        // Answered, and then silent.
        .chain(half(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), 4))
        .collect();
    // A slow link, on which a request takes longer than the longest silence allowed.
    let trickle = |path: &str, kind: &str, body: Vec<u8>| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        thread::spawn(move || {
            let mut stream = TcpStream::connect(host).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            for piece in body.chunks(body.len().div_ceil(15)) {
                stream.write_all(piece).unwrap();
                thread::sleep(Duration::from_secs(1));
            }
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        })
    };
    let patients = trickle("/patients", "application/json", b"[             ]".to_vec());
    let smear = trickle("/smear", FORM, form(&[photograph()]));
    let start = Instant::now();
    assert_eq!(server.classify(&pictures).0, 200);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the connection is closed by the server");
    }
    let answer = patients.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("[]"), "{answer}");
    let answer = smear.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"red_cells\":"), "{answer}");
}

#[test]
#[cfg(target_os = "linux")]
fn many_large_requests_for_patients_take_bounded_memory() {
    let server = Server::start();
    // As many cells as fit into a request: more than the limit, and many times their bytes in memory.
    let cells = "{\"path\":\"C1_x.png\"},".repeat(800_000);
    let body = format!("[{}]", cells.trim_end_matches(','));
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let (status, answer) = server.post("/patients", "application/json", body.as_bytes());
                let error = answer["error"].as_str().unwrap_or_else(|| panic!("{answer}"));
                assert!(status == 413 && error.contains("at most 50000 cells"), "{status}: {error}");
            });
        }
    });
    assert!(server.peak_memory() < 700, "{} MiB", server.peak_memory());
}

#[test]
#[cfg(target_os = "linux")]
fn many_large_photographs_take_bounded_memory() {
    let server = Server::start();
    // Nearly as large as a request may be, and more of them than are admitted at once.
    let body = form(&[("a.png".to_owned(), vec![0; 60 << 20])]);
    thread::scope(|scope| {
        for _ in 0..18 {
            scope.spawn(|| {
                let (status, field) = server.post("/smear", FORM, &body);
                assert_eq!((status, &field["refusal"]), (200, &"photo-other-format".into()), "{field}");
            });
        }
    });
    assert!(server.peak_memory() < 1_000, "{} MiB", server.peak_memory());
}
