//! `malaria-edge serve`: slow clients, many clients and heavy requests.

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

#[test]
#[cfg(target_os = "linux")]
fn many_requests_at_once_are_all_answered_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = write_cells(folder.path(), 8);
    let server = Server::start();
    let (_, expected) = server.classify(&pictures);
    // Clients that disconnect before the answer; their requests still count.
    let many: Vec<_> = (0..64).map(|_| pictures[0].clone()).collect();
    let body = form(&many);
    let head = format!(
        "POST /classify HTTP/1.1\r\nHost: {}\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\n\r\n",
        server.address,
        body.len()
    );
    for _ in 0..100 {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    }
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let (status, answer) = server.classify(&pictures);
                    assert_eq!((status, &answer), (200, &expected));
                }
            });
        }
    });
    // The requests in memory are limited, and these are far smaller than the maximum.
    assert!(server.peak_memory() < 150, "{} MiB", server.peak_memory());
}

#[test]
fn other_requests_are_answered_while_patients_are_called() {
    let server = Server::start();
    // The maximum number of cells, half of them of one patient, the others of patients of different numbers of cells.
    let cells = (0..50_000).map(|cell| {
        let patient = if cell < 25_000 { 0 } else { ((cell - 25_000) as f64).sqrt() as u32 };
        let probability = if cell % 2 == 0 { 0.9 } else { 0.1 };
        format!(r#"{{"path":"x.png","patient":"C{patient}","class":null,"probability":{probability}}}"#)
    });
    let body = format!("[{}]", Vec::from_iter(cells).join(","));
    let answered = thread::scope(|scope| {
        let evaluate = || {
            let (status, answer) = server.post("/patients", "application/json", body.as_bytes());
            assert_eq!((status, answer[0]["called"]["positive"].as_u64()), (200, Some(12_501)), "{answer}");
        };
        let evaluated: Vec<_> = (0..4).map(|_| scope.spawn(evaluate)).collect();
        let mut answered = 0;
        while !evaluated.iter().all(|evaluated| evaluated.is_finished()) {
            assert_eq!(server.get("/model").0, 200);
            answered += 1;
        }
        answered
    });
    // Without threads, only requests before the first evaluation would be answered.
    assert!(answered > 50, "{answered}");
}

#[test]
#[cfg(target_os = "linux")]
fn clients_that_disconnect_do_not_exceed_the_limit_of_requests() {
    let folder = tempfile::tempdir().unwrap();
    let good = write_cells(folder.path(), 1);
    let server = Server::start();
    let large = {
        let mut bytes = Cursor::new(Vec::new());
        image::RgbImage::new(2048, 2048).write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    // Few bytes to send, many pixels to decode.
    let body = form(&vec![("large.png".to_owned(), large); 64]);
    let host = server.address;
    let head = format!(
        "POST /classify HTTP/1.1\r\nHost: {host}\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let before = server.status("Threads");
    for _ in 0..24 {
        let mut stream = TcpStream::connect(host).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        // Long enough for the server to start work.
        thread::sleep(Duration::from_millis(50));
    }
    // Each computed request has a thread.
    let more = server.status("Threads") - before;
    assert!(more < 8, "{more} threads more");
    assert_eq!(server.classify(&good).0, 200);
}
