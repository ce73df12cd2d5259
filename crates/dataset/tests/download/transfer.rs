//! From the server to the verified archive: resume, retries, mirrors, checks.

use std::fs;

use malaria_dataset::{DownloadConfig, DownloadProgress, Error, download};

use crate::server::{Answer, Server};
use crate::support::{GO_ON, Out, PART, archive, config, problem, sha256};

#[test]
fn a_download_reports_progress_and_a_second_call_needs_no_network() {
    let archive = archive();
    let server = Server::start(&archive, &[Answer::Good]);
    let config = config(&[&server], &archive);
    let out = Out::new();
    let mut events = Vec::new();
    let path = download(&config, out.path(), &GO_ON, &mut |event| events.push(event)).unwrap();
    assert_eq!(path, out.path().join("cell_images"));
    out.assert_done();
    let total = archive.len() as u64;
    assert_eq!(events.first(), Some(&DownloadProgress::Connecting { url: server.url.clone(), have: 0 }));
    assert!(events.contains(&DownloadProgress::Receiving { received: total, total }));
    assert!(events.contains(&DownloadProgress::Verifying));
    assert_eq!(events.last(), Some(&DownloadProgress::Unpacking { done: 6, total: 6 }));
    let again = download(&config, out.path(), &GO_ON, &mut |event| panic!("{event:?}"));
    assert_eq!(again.unwrap(), path);
    assert_eq!(server.starts(), [0]);
}

#[test]
fn an_interrupted_transfer_is_resumed() {
    let archive = archive();
    let server = Server::start(&archive, &[Answer::CutAfter(1000), Answer::CutAfter(1500), Answer::Good]);
    let out = Out::new();
    out.download(&config(&[&server], &archive)).unwrap();
    out.assert_done();
    assert_eq!(server.starts(), [0, 1000, 2500]);
}

#[test]
fn the_next_call_and_other_addresses_resume_the_same_part() {
    let archive = archive();
    let out = Out::new();
    let first = Server::start(&archive, &[Answer::CutAfter(1000), Answer::CutAfter(0)]);
    problem(out.download(&config(&[&first], &archive)));
    out.assert_part(&archive, 1000);
    let second = Server::start(&archive, &[Answer::Good]);
    out.download(&config(&[&second], &archive)).unwrap();
    out.assert_done();
    assert_eq!(second.starts(), [1000]);
}

#[test]
fn retries_are_counted_only_without_progress() {
    let archive = archive();
    let server = Server::start(&archive, &[Answer::CutAfter(700)]);
    let out = Out::new();
    out.download(&DownloadConfig { retries: 1, ..config(&[&server], &archive) }).unwrap();
    out.assert_done();
    assert!(server.starts().len() > 4);
}

#[test]
fn a_complete_part_needs_no_network_and_a_wrong_one_is_replaced() {
    let archive = archive();
    let server = Server::start(&archive, &[Answer::Good]);
    let out = Out::new();
    fs::write(out.path().join(PART), &archive).unwrap();
    out.download(&config(&[&server], &archive)).unwrap();
    out.assert_done();
    assert_eq!(server.starts(), [0_usize; 0]);
    for length in [1000, archive.len(), archive.len() + 100] {
        let out = Out::new();
        fs::write(out.path().join(PART), vec![b'x'; length]).unwrap();
        out.download(&config(&[&server], &archive)).unwrap();
        out.assert_done();
    }
}

#[test]
fn a_file_that_changed_between_requests_is_fetched_anew() {
    let archive = archive();
    let mut old = archive.clone();
    old[500] ^= 1;
    let server = Server::start(&archive, &[Answer::Start(old, 1000), Answer::Good]);
    let out = Out::new();
    out.download(&config(&[&server], &archive)).unwrap();
    out.assert_done();
    assert_eq!(server.starts(), [0, 1000, 0]);
}

#[test]
fn servers_without_ranges_or_with_wrong_ranges_send_the_whole_file() {
    let archive = archive();
    for (second, starts) in [(Answer::Whole, vec![0, 1000]), (Answer::WrongRange, vec![0, 1000, 0])] {
        let server = Server::start(&archive, &[Answer::CutAfter(1000), second, Answer::Good]);
        let out = Out::new();
        out.download(&config(&[&server], &archive)).unwrap();
        out.assert_done();
        assert_eq!(server.starts(), starts);
    }
}

#[test]
fn stalled_servers_are_retried() {
    let archive = archive();
    let out = Out::new();
    let server = Server::start(&archive, &[Answer::StallAfter(1000), Answer::StallAfter(0)]);
    let found = problem(out.download(&config(&[&server], &archive)));
    assert_eq!(found, "the server sent nothing for 0.3 seconds");
    out.assert_part(&archive, 1000);
    let server = Server::start(&archive, &[Answer::StallAfter(1000), Answer::Good]);
    out.download(&config(&[&server], &archive)).unwrap();
    out.assert_done();
}

#[test]
fn archives_of_another_size_or_hash_are_refused() {
    let archive = archive();
    let mut changed = archive.clone();
    changed[500] ^= 1;
    let truncated = &archive[..archive.len() - 50];
    let (size, hashes) = (archive.len(), [sha256(&changed), sha256(&archive)]);
    for (file, words) in [
        (truncated, format!("the archive has {} bytes; expected {size}", size - 50)),
        (&changed, format!("the archive has the SHA-256 {}; expected {}", hashes[0], hashes[1])),
    ] {
        let (server, out) = (Server::start(file, &[Answer::Good]), Out::new());
        assert_eq!(problem(out.download(&config(&[&server], &archive))), words);
        assert_eq!(server.starts(), [0]);
        assert_eq!(out.names(), [""; 0]);
    }
}

#[test]
fn a_web_page_is_refused_and_the_part_is_kept() {
    let archive = archive();
    let page = Answer::Other(200, "<!DOCTYPE html><title>Welcome to our Wi-Fi</title>");
    let server = Server::start(&archive, &[Answer::CutAfter(1000), page]);
    let out = Out::new();
    let found = problem(out.download(&config(&[&server], &archive)));
    assert!(found.contains("not send a zip archive but `<!DOCTYPE html>"), "{found}");
    out.assert_part(&archive, 1000);
}

#[test]
fn mirrors_are_tried_in_turn() {
    let archive = archive();
    let out = Out::new();
    let gone = Server::start(&[], &[Answer::Other(404, "gone")]);
    let good = Server::start(&archive, &[Answer::Good]);
    out.download(&config(&[&gone, &good], &archive)).unwrap();
    out.assert_done();
    assert_eq!(gone.starts().len(), 1, "status 404 is not retried");

    let out = Out::new();
    let error = out.download(&config(&[&gone, &gone], &archive)).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Download { failures, .. } if failures.len() == 2));
    assert!(message.contains(&format!("{}: the server answered with status 404", gone.url)), "{message}");
    assert_eq!(out.names(), [""; 0]);
}

#[test]
fn busy_servers_are_retried() {
    let archive = archive();
    let busy = [Answer::Other(503, "busy"), Answer::Other(429, "slowly")];
    let server = Server::start(&archive, &[&busy[..], &[Answer::Good]].concat());
    let out = Out::new();
    out.download(&config(&[&server], &archive)).unwrap();
    out.assert_done();
    let server = Server::start(&archive, &busy[..1]);
    let found = problem(Out::new().download(&config(&[&server], &archive)));
    assert_eq!((found.as_str(), server.starts().len()), ("the server answered with status 503", 3));
}
