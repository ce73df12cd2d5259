//! The program `malaria-edge`: classify, stopped by Ctrl-C.

use std::process::Command;

use serde_json::Value;

use crate::interrupted::{PICTURES, interrupted, write_pictures};

#[test]
fn ctrl_c_keeps_the_finished_predictions() {
    let folder = tempfile::tempdir().unwrap();
    let cells = folder.path().join("cells");
    write_pictures(&cells);
    let mut command = Command::new(env!("CARGO_BIN_EXE_malaria-edge"));
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-f32.onnx");
    let output = interrupted(command.args(["classify", "--json", model]).arg(&cells));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (finished, not_reached) = (answer["cells"].as_array().unwrap().len(), &answer["not_reached"]);
    assert!((20..PICTURES).contains(&finished), "{finished}");
    assert_eq!(*not_reached, PICTURES - finished);
    let [first, second] = answer["patients"].as_array().unwrap().as_slice() else { panic!("{answer}") };
    assert!(!first["words"].as_str().unwrap().contains("not classified"), "{answer}");
    let incomplete = format!("not called: {not_reached} of the patient's pictures are not classified");
    assert_eq!(second["call"], "not-called");
    assert_eq!(second["words"], incomplete);
    for words in [
        "finishing the pictures in progress",
        &format!("stopped: {not_reached} of {PICTURES} pictures are not classified"),
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
