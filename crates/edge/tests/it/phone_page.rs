//! The page for smears of `malaria-edge serve` on a phone, from another machine, in two tabs and with another model.
//!
//! Needs Chromium: `cargo test -p malaria-edge --test it phone_page:: -- --ignored`.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use malaria_edge::{Model, replace_description};
use serde_json::{Value, json};

use crate::{
    browser::{Tab, press, serve, settle, text},
    smear_page::{READY, photographs},
};

const SELECTED: &str = "document.querySelector('#selected').textContent";
const ADD_MISSED_CELL: [&str; 2] = ["a", "Enter"];

/// A copy of the built-in model that calls cells infected from another probability on.
fn model_from(threshold: f64, folder: &Path) -> PathBuf {
    let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("field-int8.onnx")).unwrap();
    let mut description = Model::load(&bytes).unwrap().description().clone();
    description.smear.as_mut().unwrap().threshold = threshold;
    let path = folder.join("field-int8.onnx");
    fs::write(&path, replace_description(&bytes, description, None).unwrap()).unwrap();
    path
}

fn wait_for_fields(tab: &mut Tab, number: usize) {
    tab.wait_for(&format!("document.querySelectorAll('#fields li').length === {number}"));
    settle(tab);
}

/// Scale of the photograph, and the place of its corner in the window.
fn place(tab: &mut Tab) -> [f64; 3] {
    // Movements reach the page with the next frame.
    let script = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => { \
                  const { left, top, width } = document.querySelector('#photo').getBoundingClientRect(); \
                  done([width / parseFloat(document.querySelector('#photo').style.width), left, top]); })))";
    let found = tab.evaluate(script);
    [0, 1, 2].map(|i| found[i].as_f64().unwrap())
}

#[track_caller]
fn assert_near(found: [f64; 2], expected: [f64; 2]) {
    let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 3.0);
    assert!(near, "{found:?}, expected {expected:?}");
}

#[test]
#[ignore = "needs Chromium"]
fn suspects_take_one_tap_each_and_the_photograph_follows_two_fingers() {
    let folder = tempfile::tempdir().unwrap();
    let files = photographs(folder.path());
    let (_server, address) = serve(&["--port", "0"]);
    let mut tab = Tab::open(&address, READY);
    tab.set_screen(390, 844, "light");
    let agent = tab.evaluate("navigator.userAgent");
    for language in ["fr", "en"] {
        tab.call("Emulation.setUserAgentOverride", json!({ "userAgent": agent, "acceptLanguage": language }));
        tab.reload(READY);
        assert_eq!(tab.evaluate("document.documentElement.lang"), language);
    }
    assert_eq!(tab.evaluate("document.querySelector('#camera').getAttribute('capture')"), "environment");
    for (number, file) in (1..).zip(&files[..2]) {
        tab.choose("#camera", std::slice::from_ref(file));
        wait_for_fields(&mut tab, number);
    }

    tab.tap("#suspects .cell");
    tab.wait_for("document.querySelector('#viewer').open");
    let mut judged: Vec<Value> = Vec::new();
    for _ in 0..4 {
        let cell = tab.evaluate(SELECTED);
        tab.tap("#judge [data-judgement=infected]");
        tab.wait_for(&format!("{SELECTED} !== {cell}"));
        judged.push(cell);
        // The next one is in the middle.
        let (stage, next) = (tab.middle("#stage"), tab.middle("#overlay .selected"));
        let apart = f64::hypot(stage[0] - next[0], stage[1] - next[1]);
        assert!(apart < 8.0, "{apart}");
    }
    for cell in judged.iter().rev().take(2) {
        tab.tap("#judge button:last-child");
        tab.wait_for(&format!("{SELECTED} === {cell}"));
    }
    settle(&mut tab);
    let infected = "document.querySelectorAll('#suspects [data-judgement=infected]').length";
    assert_eq!(tab.evaluate(infected), 2);
    // Keys work wherever a browser puts the focus after a tap: on the button or on nothing.
    for focus in ["document.querySelector('#judge button').focus()", "document.activeElement.blur()"] {
        for (key, number) in [("i", 3), ("z", 2)] {
            tab.evaluate(focus);
            press(&mut tab, key);
            settle(&mut tab);
            assert_eq!(tab.evaluate(infected), number, "{focus}, {key}");
        }
    }

    tab.tap("#fit");
    let [x, y] = tab.middle("#stage");
    let fingers =
        |right: f64, down: f64, apart: f64| [-apart, apart].map(|aside| [x + right + aside, y + down]);
    tab.touch("touchStart", &fingers(0.0, 0.0, 50.0));
    // Browsers ignore the first pixels of a movement.
    tab.touch("touchMove", &fingers(20.0, 0.0, 50.0));
    let [scale, left, top] = place(&mut tab);
    tab.touch("touchMove", &fingers(30.0, 25.0, 50.0));
    let moved = place(&mut tab);
    assert_near([moved[1], moved[2]], [left + 10.0, top + 25.0]);
    tab.touch("touchMove", &fingers(40.0, 30.0, 100.0));
    let zoomed = place(&mut tab);
    tab.touch("touchEnd", &[]);
    assert!((moved[0] / scale - 1.0).abs() < 0.01 && (zoomed[0] / scale - 2.0).abs() < 0.01, "{zoomed:?}");
    // The same pixel is between the fingers.
    let between = |[scale, left, top]: [f64; 3], [x, y]: [f64; 2]| [(x - left) / scale, (y - top) / scale];
    assert_near(between(zoomed, [x + 40.0, y + 30.0]), between(moved, [x + 30.0, y + 25.0]));

    tab.tap("#add");
    tab.tap("#stage");
    tab.wait_for("document.querySelectorAll('#overlay circle').length === 1");
    let sticks_out = tab.evaluate("document.documentElement.scrollWidth - innerWidth").as_i64().unwrap();
    assert!(sticks_out <= 0, "{sticks_out}");
    let errors: Vec<&Value> = tab.console.iter().collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
#[ignore = "needs Chromium"]
fn over_plain_http_one_tab_keeps_the_data_until_they_are_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let file = photographs(folder.path()).remove(0);
    // It suspects no cell.
    let model = model_from(0.999_999, folder.path());
    let (_server, address) = serve(&[model.to_str().unwrap(), "--host", "0.0.0.0", "--port", "0"]);
    let mut tab = Tab::open(&address, READY);
    if address.contains("127.0.0.1") {
        let note = "not tested over plain HTTP: browsers trust this address, and the machine has no other";
        writeln!(io::stderr(), "{address}: {note}").unwrap();
    } else {
        assert_eq!(tab.evaluate("isSecureContext"), false, "{address}");
    }
    tab.choose("#files", &[file]);
    wait_for_fields(&mut tab, 1);
    assert_eq!(tab.evaluate("document.querySelectorAll('#suspects .cell').length"), 0);
    tab.evaluate(
        "const red = document.querySelector('[name=red_cells_per_microlitre]'); red.value = '5000000'; \
         red.dispatchEvent(new Event('input', { bubbles: true })); 0",
    );
    settle(&mut tab);
    let hidden = "document.querySelector('#corrected').hidden";
    assert_eq!(tab.evaluate(hidden), true);
    tab.evaluate("document.querySelector('#looked-through').click()");
    settle(&mut tab);
    let per_microlitre = text(&mut tab, "#corrected-per-microlitre");
    assert!(per_microlitre.starts_with("0 (0 to "), "{per_microlitre}");

    // A second tab takes no photographs, so that it cannot overwrite those of the first one.
    let open = json!({ "expression": "window.second = window.open('/'); 0", "userGesture": true });
    tab.call("Runtime.evaluate", open);
    tab.wait_for("second.document.querySelector('#status')?.classList.contains('failed') === true");
    assert_eq!(tab.evaluate("second.document.querySelector('#drop').hidden"), true);
    tab.evaluate("second.close()");

    tab.evaluate("document.querySelector('#fields .field').click()");
    for key in ADD_MISSED_CELL {
        press(&mut tab, key);
    }
    settle(&mut tab);
    // Also when the browser has kept the page, which may be older than what another one has saved.
    tab.reload_by("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))", READY);
    wait_for_fields(&mut tab, 1);
    assert_eq!(text(&mut tab, "#corrected-infected"), "1");
    assert!(text(&mut tab, "#corrected-per-microlitre").contains(" to "));

    for answer in [false, true] {
        tab.evaluate(&format!("window.confirm = () => {answer}; document.querySelector('#clear').click()"));
        tab.wait_for(&format!("document.querySelector('#reading').hidden === {answer}"));
    }
    // Until nothing is stored.
    tab.evaluate("new Promise((done) => setTimeout(done, 500))");
    tab.reload(READY);
    assert_eq!(tab.evaluate("document.querySelectorAll('#fields li').length"), 0);
    assert_eq!(tab.evaluate("document.querySelector('[name=red_cells_per_microlitre]').value"), "");
    let errors: Vec<&Value> = tab.console.iter().collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
#[ignore = "needs Chromium"]
fn corrections_are_carried_over_to_another_model_of_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let file = photographs(folder.path()).remove(0);
    let (server, address) = serve(&["--port", "0"]);
    let mut tab = Tab::open(&address, READY);
    tab.choose("#files", &[file]);
    wait_for_fields(&mut tab, 1);
    tab.evaluate("document.querySelector('#suspects .cell').focus()");
    press(&mut tab, "n");
    settle(&mut tab);
    tab.evaluate("document.querySelector('#fields .field').click()");
    for key in ADD_MISSED_CELL {
        press(&mut tab, key);
    }
    settle(&mut tab);
    let before = text(&mut tab, "#model");

    drop(server);
    let model = model_from(0.999_999, folder.path());
    let port = address.trim_end_matches('/').rsplit(':').next().unwrap();
    let (_server, _) = serve(&[model.to_str().unwrap(), "--port", port]);
    tab.reload(READY);
    wait_for_fields(&mut tab, 1);
    assert_ne!(text(&mut tab, "#model"), before);
    assert_eq!(tab.evaluate("document.querySelectorAll('#suspects .cell').length"), 0);
    let judged = "document.querySelectorAll('#uncertain [data-judgement=uninfected]').length";
    assert_eq!(tab.evaluate(judged), 1);
    tab.evaluate("document.querySelector('#fields .field').click()");
    assert_eq!(tab.evaluate("document.querySelectorAll('#overlay circle').length"), 1);
}
