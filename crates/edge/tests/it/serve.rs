//! `malaria-edge serve`: answers and refusals.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use image::ImageFormat;
use malaria_dataset::{SmearConfig, synthetic_smear};
use serde_json::{Value, json};

use crate::server::{FORM, Server, form, model, write_cells};

mod slow;

#[test]
fn the_server_gives_the_predictions_of_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = write_cells(folder.path(), 48);
    let server = Server::start();
    let (status, head, page) = server.get("/");
    assert_eq!(status, 200, "{head}");
    for header in [
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
    assert!(String::from_utf8(page).unwrap().contains("not a medical device"));
    for file in ["/page.css", "/page.js", "/cells", "/smear/main.js", "/smear/viewer.js", "/phrases/pt"] {
        assert_eq!(server.get(file).0, 200, "{file}");
    }
    let about: Value = serde_json::from_slice(&server.get("/model").2).unwrap();
    assert_eq!(about["description"]["positive"], "Parasitized");

    let (status, predictions) = server.classify(&pictures);
    assert_eq!(status, 200, "{predictions}");
    let (_, patients) = server.post("/patients", "application/json", predictions.to_string().as_bytes());
    let mut command = Command::new(env!("CARGO_BIN_EXE_malaria-edge"));
    let output = command.args(["classify", "--json"]).arg(model()).arg(folder.path()).output().unwrap();
    let expected: Value = serde_json::from_slice(&output.stdout).unwrap();
    let predictions = predictions.as_array().unwrap();
    assert_eq!(predictions.len(), 48);
    for (found, expected) in predictions.iter().zip(expected["cells"].as_array().unwrap()) {
        assert!(expected["path"].as_str().unwrap().ends_with(found["path"].as_str().unwrap()));
        for field in ["patient", "class", "warning", "error"] {
            assert_eq!(found[field], expected[field], "{found}");
        }
        let difference = found["probability"].as_f64().unwrap() - expected["probability"].as_f64().unwrap();
        // The batches are the same.
        assert!(difference.abs() < 1e-9, "{found}, {expected}");
    }
    assert_eq!(patients, expected["patients"]);
    assert_eq!(patients.as_array().unwrap().len(), 4);
}

#[test]
fn photographs_are_read_counted_and_reported() {
    let config =
        SmearConfig { width: 480, height: 360, cell_diameter: 48.0, cells: 20, ..SmearConfig::default() };
    let photo = synthetic_smear(&config).unwrap().image;
    let encoded = |format: ImageFormat| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        photo.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let server = Server::start();
    let send =
        |path: &str, name: &str, bytes: Vec<u8>| server.post(path, FORM, &form(&[(name.to_owned(), bytes)]));
    let (status, field) = send("/smear", "a.tif", encoded(ImageFormat::Tiff));
    assert_eq!(status, 200, "{field}");
    assert_eq!((field["width"].as_u64(), &field["count"]["image"]), (Some(480), &"a.tif".into()));
    let red_cells = field["count"]["red_cells"].as_u64().unwrap();
    assert!((18..=22).contains(&red_cells), "{field}");
    // For an unreadable file, `/smear` returns a reason; `/picture` refuses it.
    let (status, words) = send("/smear", "words.png", b"no picture".to_vec());
    assert_eq!((status, &words["refusal"]), (200, &"photo-other-format".into()), "{words}");
    let (status, _, jpeg) = server.send(
        &format!("POST /picture HTTP/1.1\r\nHost: {}\r\nContent-Type: {FORM}\r\n", server.address),
        &form(&[("a.tif".to_owned(), encoded(ImageFormat::Tiff))]),
    );
    assert_eq!((status, image::guess_format(&jpeg).unwrap()), (200, ImageFormat::Jpeg));
    let (status, refused) = send("/picture", "words.tif", b"no picture".to_vec());
    assert_eq!((status, &refused["key"]), (422, &"refusal.photo-other-format".into()), "{refused}");

    let about: Value = serde_json::from_slice(&server.get("/model").2).unwrap();
    let mut reading = json!({
        "format_version": 2, "language": "fr", "patient": "ann", "slide": "", "operator": "", "read_on": "",
        "red_cells_per_microlitre": null, "fields": [field],
        "made_by": about["made_by"],
    });
    let (status, summary) = server.post("/summary", "application/json", reading.to_string().as_bytes());
    assert_eq!((status, &summary["machine"]["red_cells"]), (200, &red_cells.into()), "{summary}");
    let report = |parts: &[(String, Vec<u8>)]| {
        let head = format!("POST /report HTTP/1.1\r\nHost: {}\r\nContent-Type: {FORM}\r\n", server.address);
        let (status, _, body) = server.send(&head, &form(parts));
        (status, String::from_utf8(body).unwrap())
    };
    let record = ("reading".to_owned(), reading.to_string().into_bytes());
    let (status, page) = report(&[record.clone(), ("0".to_owned(), jpeg.clone())]);
    assert!(
        status == 200 && page.contains("Logiciel de recherche") && page.contains("data:image/jpeg"),
        "{page}"
    );
    for (parts, words) in [
        (vec![record.clone(), ("1".to_owned(), jpeg)], "there is no photograph `1`"),
        (vec![record, ("0".to_owned(), encoded(ImageFormat::Png))], "expected a JPEG"),
        (vec![("reading".to_owned(), b"{}".to_vec())], "not a reading of a smear"),
    ] {
        let (status, answer) = report(&parts);
        assert!(status == 422 && answer.contains(words), "{words}: {status} {answer}");
    }
    reading["made_by"]["model_sha256"] = "00".into();
    let (status, answer) = server.post("/summary", "application/json", reading.to_string().as_bytes());
    assert!(status == 409 && answer["error"].as_str().unwrap().contains("another model"), "{answer}");
}

#[test]
fn unreadable_pictures_have_errors_and_the_others_are_classified() {
    let folder = tempfile::tempdir().unwrap();
    let good = write_cells(folder.path(), 1).remove(0);
    let server = Server::start();
    // A PNG of some hundred bytes that claims 60,000 x 60,000 pixels.
    let mut bomb = good.1.clone();
    bomb[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    let large = {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(2100, 8).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let pictures = [
        ("bomb.png".to_owned(), bomb),
        good.clone(),
        ("words.png".to_owned(), b"no picture".to_vec()),
        ("nothing.png".to_owned(), Vec::new()),
        ("half.png".to_owned(), good.1[..good.1.len() / 2].to_vec()),
        ("large.png".to_owned(), large),
        ("<script>.png".to_owned(), good.1.clone()),
    ];
    let (status, answer) = server.classify(&pictures);
    assert_eq!(status, 200, "{answer}");
    let read: Vec<bool> = answer.as_array().unwrap().iter().map(|cell| cell["error"].is_null()).collect();
    assert_eq!(read, [false, true, false, false, false, false, true], "{answer}");
    assert!(answer[5]["error"].as_str().unwrap().contains("larger than 2048 px"), "{answer}");
    // The keys of the texts.
    let problems: Vec<&Value> = answer.as_array().unwrap().iter().map(|cell| &cell["problem"]).collect();
    let expected = json!(["damaged", null, "other-format", "empty", "damaged", "too-large", null]);
    assert_eq!(json!(problems), expected);
    assert!(answer[1]["warnings"].is_array(), "{answer}");
}

#[test]
fn invalid_requests_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let picture = write_cells(folder.path(), 1).remove(0);
    let server = Server::start();
    let refused = |(status, answer): (u16, Value), expected: u16, words: &str| {
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(status == expected && error.contains(words), "{status}: {error}");
    };
    refused(server.classify(&vec![picture.clone(); 65]), 413, "more than 64 pictures");
    // A body that is too large is read to its end: many clients do not read the answer if sending fails.
    let large = form(&[("large.png".to_owned(), vec![0; 40 << 20])]);
    let mut stream = TcpStream::connect(server.address).unwrap();
    let (host, length) = (server.address, large.len());
    let head = format!(
        "POST /classify HTTP/1.1\r\nHost: {host}\r\nContent-Type: {FORM}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&large).expect("the whole body is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("more than 16 MiB"), "{answer}");
    refused(server.classify(&[]), 400, "found none");
    refused(server.post("/classify", "text/plain", b"hello"), 400, "boundary");
    refused(server.post("/classify", FORM, b"--between\r\nbroken"), 400, "multipart");
    let nameless =
        b"--between\r\nContent-Disposition: form-data; name=\"word\"\r\n\r\nhello\r\n--between--\r\n";
    refused(server.post("/classify", FORM, nameless), 400, "`word`");
    refused(server.post("/patients", "application/json", b"[{]"), 400, "JSON");
    refused(server.post("/patients", "application/json", b"[{\"path\": 3}]"), 422, "JSON");
    let answer = |(status, _, body): (u16, String, Vec<u8>)| (status, serde_json::from_slice(&body).unwrap());
    refused(answer(server.get("/../../etc/passwd")), 404, "nothing at this address");
    refused(answer(server.get("/classify")), 405, "POST");
    refused(answer(server.send("GET / HTTP/1.1\r\nHost: evil.example\r\n", b"")), 403, "not as evil.example");
    let foreign = format!(
        "POST /classify HTTP/1.1\r\nHost: {}\r\nOrigin: http://evil.example\r\nContent-Type: {FORM}\r\n",
        server.address
    );
    refused(answer(server.send(&foreign, &form(&[picture]))), 403, "another page, http://evil.example");
    // The reason as a key with its values, for pages in other languages.
    let (_, empty) = server.classify(&[]);
    let reason = "expected pictures, found none";
    assert_eq!((&empty["key"], &empty["values"]), (&"server.invalid".into(), &json!({ "reason": reason })));
    // For a person who opens the page by the machine's name, a page in every language.
    let opened = "GET / HTTP/1.1\r\nHost: lab.local\r\nAccept: text/html,*/*;q=0.8\r\n";
    let (status, head, page) = server.send(opened, b"");
    let page = String::from_utf8(page).unwrap();
    assert!(status == 403 && head.contains("content-type: text/html"), "{head}");
    for language in ["en", "es", "fr", "pt"] {
        assert!(page.contains(&format!("<p lang=\"{language}\">")), "{page}");
    }
    assert!(page.matches("lab.local").count() == 4, "{page}");
    // Invalid chunks: the body is truncated.
    let mut stream = TcpStream::connect(server.address).unwrap();
    let head = format!(
        "POST /classify HTTP/1.1\r\nHost: {}\r\nContent-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n",
        server.address
    );
    stream.write_all(format!("{head}Connection: close\r\n\r\nno chunk").as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("ended early"), "{answer}");
    // The server still answers.
    assert_eq!(server.get("/").0, 200);
}

#[test]
#[cfg(unix)]
fn signals_end_the_server_and_a_used_port_is_an_error() {
    for signal in ["-INT", "-TERM"] {
        let mut server = Server::start();
        let mut second = Command::new(env!("CARGO_BIN_EXE_malaria-edge"));
        second.arg("serve").arg(model()).args(["--port", &server.address.port().to_string()]);
        let output = second.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains("--port"), "{errors}");
        let id = server.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        assert!(server.process.wait().unwrap().success(), "{signal}");
    }
}
