//! The way from the server to the part on disk: resumed, tried again, checked.

use std::fs;
use std::time::{Duration, Instant};

use malaria_dataset::{DownloadConfig, DownloadProblem, DownloadProgress, Error, download};
use zip::CompressionMethod;

use crate::server::{Answer, Server, TAG};
use crate::support::{GO_ON, NOTE, Out, PART, archive, config, entries, problem, sha256, trusting, zip_of};

#[test]
fn a_good_server_gives_the_cells_and_is_asked_once() {
    let archive = archive();
    let server = Server::start(&archive, &[Answer::Good]);
    let out = Out::new();
    let mut events = Vec::new();
    let deep = out.path().join("deep/er");
    let path =
        download(&config(&[&server], &archive), &deep, &GO_ON, &mut |event| events.push(event)).unwrap();
    assert_eq!(path, deep.join("cell_images"));
    let total = Some(archive.len() as u64);
    assert_eq!(events.first(), Some(&DownloadProgress::Connecting { url: server.url.clone(), have: 0 }));
    assert!(events.contains(&DownloadProgress::Receiving { received: archive.len() as u64, total }));
    assert!(events.contains(&DownloadProgress::Verifying));
    assert_eq!(events.last(), Some(&DownloadProgress::Unpacking { done: 6, total: 6 }));

    // What is there is not asked for again, not even where nothing could be had.
    let gone =
        DownloadConfig { urls: vec!["http://127.0.0.1:9/".to_owned()], ..config(&[&server], &archive) };
    assert_eq!(download(&gone, &deep, &GO_ON, &mut |event| panic!("{event:?}")).unwrap(), path);
    assert_eq!(server.starts(), [0]);

    let out = Out::new();
    out.download(&config(&[&server], &archive)).unwrap();
    out.assert_done();
}

#[test]
fn sizes_may_be_unknown_and_addresses_may_move() {
    let archive = archive();
    for answer in [Answer::Chunked, Answer::Good] {
        let (server, out) = (Server::start(&archive, &[answer]), Out::new());
        let mover = Server::start(&[], &[Answer::Redirect(server.url.clone())]);
        out.download(&trusting(&[&mover])).unwrap();
        out.assert_done();
    }
}

#[test]
fn a_transfer_that_breaks_off_goes_on_where_it_stopped() {
    let archive = archive();
    let answers = [Answer::CutAfter(1000), Answer::CutAfter(1500), Answer::Good];
    for knowing in [true, false] {
        let (server, out) = (Server::start(&archive, &answers), Out::new());
        let config = if knowing { config(&[&server], &archive) } else { trusting(&[&server]) };
        out.download(&config).unwrap();
        out.assert_done();
        assert_eq!(server.starts(), [0, 1000, 2500]);
        assert_eq!(server.requests()[1].if_range.as_deref(), Some(TAG));
    }
}

#[test]
fn retries_count_only_where_nothing_is_gained() {
    let archive = archive();
    let out = Out::new();
    let server = Server::start(&archive, &[Answer::CutAfter(700)]);
    out.download(&DownloadConfig { retries: 1, ..config(&[&server], &archive) }).unwrap();
    out.assert_done();
    assert!(server.starts().len() > 4);
}

#[test]
fn an_interrupted_call_is_taken_up_by_the_next() {
    let archive = archive();
    let out = Out::new();
    let first = Server::start(&archive, &[Answer::CutAfter(1000), Answer::CutAfter(0)]);
    let found = problem(out.download(&config(&[&first], &archive)));
    assert!(matches!(found, DownloadProblem::Connection { .. }), "{found:?}");
    out.assert_part(&archive, 1000);

    // Another address: the hash vouches for it. Without a hash, it would begin again.
    let second = Server::start(&archive, &[Answer::Good]);
    out.download(&config(&[&second], &archive)).unwrap();
    out.assert_done();
    assert_eq!(second.starts(), [1000]);
    assert_eq!(second.requests()[0].if_range, None);
}

#[test]
fn bytes_of_unknown_origin_are_not_gone_on_with_unless_a_hash_vouches_for_them() {
    let archive = archive();
    let out = Out::new();
    let first = Server::start(&archive, &[Answer::CutAfter(1000), Answer::CutAfter(0)]);
    problem(out.download(&trusting(&[&first])));
    out.assert_part(&archive, 1000);
    let second = Server::start(&archive, &[Answer::Good]);
    out.download(&trusting(&[&second])).unwrap();
    out.assert_done();
    assert_eq!(second.starts(), [0]);

    // The same for a server that knows no versions.
    let out = Out::new();
    let untagged = Server::start(&archive, &[Answer::Untagged, Answer::Good]);
    out.download(&trusting(&[&untagged])).unwrap();
    out.assert_done();
    assert_eq!(untagged.starts(), [0, 0]);
}

#[test]
fn a_download_that_was_stopped_before_unpacking_needs_no_network() {
    let archive = archive();
    let out = Out::new();
    fs::write(out.path().join(PART), &archive).unwrap();
    let gone = DownloadConfig { urls: vec!["http://127.0.0.1:9/".to_owned()], ..config(&[], &archive) };
    out.download(&gone).unwrap();
    out.assert_done();
}

#[test]
fn rotten_bytes_from_before_are_fetched_anew() {
    let archive = archive();
    for length in [1000, archive.len(), archive.len() + 100] {
        let out = Out::new();
        fs::write(out.path().join(PART), vec![b'x'; length]).unwrap();
        let server = Server::start(&archive, &[Answer::Good]);
        out.download(&config(&[&server], &archive)).unwrap();
        out.assert_done();
    }
}

#[test]
fn a_server_without_ranges_begins_again() {
    let archive = archive();
    let out = Out::new();
    let server = Server::start(&archive, &[Answer::CutAfter(1000), Answer::Whole]);
    out.download(&config(&[&server], &archive)).unwrap();
    out.assert_done();
    assert_eq!(server.starts(), [0, 1000]);
}

#[test]
fn a_file_that_changed_meanwhile_is_fetched_anew() {
    let old = archive();
    let mut new = entries();
    new.push(("cell_images/more.txt".to_owned(), b"newer".to_vec()));
    let new = zip_of(&new, CompressionMethod::Stored);
    let out = Out::new();
    let server = Server::start(&old, &[Answer::CutAfter(1000), Answer::Changed(new.clone())]);
    out.download(&trusting(&[&server])).unwrap();
    out.assert_done();
    assert_eq!(server.starts(), [0, 1000]);
}

#[test]
fn another_range_than_asked_for_is_not_taken() {
    let archive = archive();
    let out = Out::new();
    let server = Server::start(&archive, &[Answer::CutAfter(1000), Answer::WrongRange]);
    assert_eq!(problem(out.download(&trusting(&[&server]))), DownloadProblem::WrongRange);
    out.assert_part(&archive, 1000);
    let server = Server::start(&archive, &[Answer::CutAfter(1000), Answer::WrongRange, Answer::Good]);
    let out = Out::new();
    out.download(&config(&[&server], &archive)).unwrap();
    out.assert_done();
}

#[test]
fn a_server_that_stalls_is_left_and_tried_again() {
    let archive = archive();
    for answer in [Answer::StallAfter(1000), Answer::Silence] {
        let out = Out::new();
        let server = Server::start(&archive, &[answer.clone(), Answer::Good]);
        out.download(&config(&[&server], &archive)).unwrap();
        out.assert_done();
    }
    let out = Out::new();
    let server = Server::start(&archive, &[Answer::StallAfter(1000), Answer::Silence]);
    let begun = Instant::now();
    let found = problem(out.download(&config(&[&server], &archive)));
    assert_eq!(found, DownloadProblem::Stalled { waited: Duration::from_millis(300) });
    assert!(begun.elapsed() < Duration::from_secs(20), "the server stalls for 60 seconds");
    out.assert_part(&archive, 1000);
}

#[test]
fn a_length_that_is_too_long_does_no_harm() {
    let archive = archive();
    // The size is known: the lie is seen at once.
    let (server, out) = (Server::start(&archive, &[Answer::Length(archive.len() + 50)]), Out::new());
    let found = problem(out.download(&config(&[&server], &archive)));
    let size = archive.len() as u64;
    assert_eq!(found, DownloadProblem::WrongSize { expected: size, found: size + 50 });
    out.assert_empty();
    // The size is unknown: the connection ends too soon, every time.
    let found = problem(out.download(&trusting(&[&server])));
    assert!(matches!(found, DownloadProblem::Connection { .. }), "{found:?}");
    out.assert_part(&archive, archive.len());
    // The server comes to its senses: there is nothing behind what is there.
    let honest = Server::start(&archive, &[Answer::Good]);
    out.download(&config(&[&honest], &archive)).unwrap();
    out.assert_done();
}

#[test]
fn a_server_with_nothing_behind_what_is_there_tells_that_it_is_the_whole() {
    let archive = archive();
    let out = Out::new();
    // A part with a note that names no size, as of a server that told none.
    let server = Server::start(&archive, &[Answer::Good]);
    fs::write(out.path().join(PART), &archive).unwrap();
    fs::write(out.path().join(NOTE), format!("{}\n{TAG}\n\n", server.url)).unwrap();
    out.download(&trusting(&[&server])).unwrap();
    out.assert_done();
    assert_eq!(server.starts(), [archive.len()]);
}

#[test]
fn a_length_that_is_too_short_does_no_harm() {
    let archive = archive();
    let (server, out) = (Server::start(&archive, &[Answer::Length(archive.len() - 50)]), Out::new());
    let size = archive.len() as u64;
    let found = problem(out.download(&config(&[&server], &archive)));
    assert_eq!(found, DownloadProblem::WrongSize { expected: size, found: size - 50 });
    out.assert_empty();
    let found = problem(out.download(&trusting(&[&server])));
    assert!(matches!(found, DownloadProblem::Damaged { .. }), "{found:?}");
    out.assert_empty();
}

#[test]
fn a_page_instead_of_the_archive_is_told_and_costs_nothing() {
    let archive = archive();
    let page = "<!DOCTYPE html><title>Welcome to our Wi-Fi</title>";
    let out = Out::new();
    let server = Server::start(&archive, &[Answer::CutAfter(1000), Answer::Other(200, page)]);
    match problem(out.download(&config(&[&server], &archive))) {
        DownloadProblem::NotAZip { begins } => assert!(begins.starts_with("<!DOCTYPE html>"), "{begins}"),
        other => panic!("{other:?}"),
    }
    // What had come before is still there, and is gone on with.
    out.assert_part(&archive, 1000);
    let server = Server::start(&archive, &[Answer::Good]);
    out.download(&config(&[&server], &archive)).unwrap();
    out.assert_done();
    assert_eq!(server.starts(), [1000]);
}

#[test]
fn a_mirror_stands_in() {
    let archive = archive();
    let out = Out::new();
    let gone = Server::start(&[], &[Answer::Other(404, "gone")]);
    let good = Server::start(&archive, &[Answer::Good]);
    out.download(&config(&[&gone, &good], &archive)).unwrap();
    out.assert_done();
    assert_eq!(gone.starts().len(), 1, "a page that is not there is not asked for again");

    let out = Out::new();
    let error = out.download(&config(&[&gone, &gone], &archive)).unwrap_err();
    match &error {
        Error::DownloadFailed { path, failures } => {
            assert_eq!(path, &out.path().join("cell_images"));
            let each = (gone.url.clone(), DownloadProblem::Status { status: 404 });
            assert_eq!(failures, &[each.clone(), each]);
        }
        other => panic!("{other:?}"),
    }
    assert!(error.to_string().contains(&gone.url) && error.to_string().contains("404"), "{error}");
    out.assert_empty();
}

#[test]
fn a_server_that_is_too_busy_is_asked_again() {
    let archive = archive();
    let out = Out::new();
    let server =
        Server::start(&archive, &[Answer::Other(503, "busy"), Answer::Other(429, "slowly"), Answer::Good]);
    out.download(&config(&[&server], &archive)).unwrap();
    out.assert_done();
    let server = Server::start(&archive, &[Answer::Other(503, "busy")]);
    let out = Out::new();
    assert_eq!(problem(out.download(&config(&[&server], &archive))), DownloadProblem::Status { status: 503 });
    assert_eq!(server.starts().len(), 3, "once, and two retries");
    out.assert_empty();
}

#[test]
fn other_contents_of_the_same_size_are_refused() {
    let archive = archive();
    let mut other = archive.clone();
    let last = other.len() - 1;
    other[last] ^= 1;
    let (server, out) = (Server::start(&other, &[Answer::Good]), Out::new());
    let found = problem(out.download(&config(&[&server], &archive)));
    assert_eq!(found, DownloadProblem::WrongHash { expected: sha256(&archive), found: sha256(&other) });
    assert_eq!(server.starts(), [0]);
    out.assert_empty();
}
