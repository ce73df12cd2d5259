//! The page for single cells of `malaria-edge serve` in a real browser.
//!
//! Needs Chromium: `cargo test -p malaria-edge --test it serve_page:: -- --ignored`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use malaria_dataset::{SyntheticConfig, synthetic_cell};
use malaria_edge::{Model, replace_description};
use malaria_metrics::percent;
use serde_json::{Value, json};

use crate::browser::{Tab, check_accessibility, serve};

fn model() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-f32.onnx")
}

#[test]
#[ignore = "needs Chromium"]
fn the_page_shows_the_predictions_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let config = SyntheticConfig { seed: 9, patients: 4, ..SyntheticConfig::default() };
    let mut files: Vec<PathBuf> = (0..96)
        .map(|cell| {
            let drawn = synthetic_cell(&config, cell).unwrap();
            let path = folder.path().join(drawn.file_name);
            drawn.image.save(&path).unwrap();
            path
        })
        .collect();
    files.push(folder.path().join("<b>bold, \"quoted\".png"));
    fs::write(files.last().unwrap(), b"no picture").unwrap();
    files.push(folder.path().join("words.txt"));
    fs::write(files.last().unwrap(), b"no picture by its name").unwrap();
    files.sort();
    let mut classify = Command::new(env!("CARGO_BIN_EXE_malaria-edge"));
    let output = classify.args(["classify", "--json"]).arg(model()).arg(folder.path()).output().unwrap();
    let expected: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cells = expected["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 97);

    let (mut server, address) = serve(&[model().to_str().unwrap(), "--port", "0"]);
    let mut tab = Tab::open(
        &format!("{address}cells"),
        "document.querySelector('#model').textContent.includes('SHA-256')",
    );
    tab.set_screen(1280, 900, "light");
    tab.screenshot("empty.png");
    check_accessibility(&mut tab);
    tab.choose("#files", &files);
    tab.wait_for(
        "document.querySelector('#status').textContent === '97 of 97 pictures: done · files that are not pictures, skipped: 1'",
    );

    let tab = predictions_are_shown(tab, &expected);
    let mut tab = the_page_fits_screens_and_languages(tab, &address);
    // The same files add no cells.
    tab.choose("#files", &files);
    tab.wait_for("document.querySelector('#status').textContent.includes('skipped: 1 · already shown: 97')");
    assert_eq!(tab.evaluate("document.querySelectorAll('#cell-rows tr').length"), 97);
    tab.evaluate("document.querySelector('#clear').click()");
    assert_eq!(tab.evaluate("document.querySelectorAll('#cell-rows tr').length"), 0);
    // A nested folder with a picture that is too large to be sent.
    fs::create_dir_all(folder.path().join("more/__MACOSX")).unwrap();
    fs::write(folder.path().join("more/A large.png"), vec![0; 20 << 20]).unwrap();
    for hidden in ["more/.hidden.png", "more/__MACOSX/A large.png"] {
        fs::write(folder.path().join(hidden), b"no picture").unwrap();
    }
    tab.drop(folder.path());
    // words.txt and .hidden.png.
    tab.wait_for(
        "document.querySelector('#status').textContent === '98 of 98 pictures: done · files that are not pictures, skipped: 2'",
    );
    assert_eq!(tab.evaluate("document.querySelector('#unreadable').textContent"), "2");
    assert_eq!(
        tab.evaluate("document.querySelectorAll('#patient-rows tr').length"),
        expected["patients"].as_array().unwrap().len()
    );
    // After the program has ended.
    server.0.kill().unwrap();
    tab.choose("#files", &files[..2]);
    tab.wait_for("document.querySelector('#status').textContent.includes('does not answer')");
    // Patients are not shown without their cells.
    assert_eq!(tab.evaluate("document.querySelector('#patients').hidden"), true);
    let errors: Vec<&Value> =
        tab.console.iter().filter(|message| !message.to_string().contains("ERR_CONNECTION")).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

/// The rows of cells and patients have the predictions of the program, `expected`.
fn predictions_are_shown(mut tab: Tab, expected: &Value) -> Tab {
    let cells = expected["cells"].as_array().unwrap();
    let rows = tab.evaluate("[...document.querySelectorAll('#cell-rows tr')].map((row) => [...row.cells].map((cell) => cell.innerText))");
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), cells.len());
    for (row, cell) in rows.iter().zip(cells) {
        // As the program prints it, with non-breaking spaces.
        let probability = cell["probability"].as_f64().map(|probability| percent(Some(probability)));
        let probability = probability.map_or("–".to_owned(), |words| words.replace(' ', "\u{a0}"));
        assert_eq!(row[1], cell["class"].as_str().unwrap_or("unreadable"), "{row}, {cell}");
        assert_eq!(row[2].as_str().unwrap().trim(), probability, "{row}, {cell}");
        let name = Path::new(cell["path"].as_str().unwrap()).file_name().unwrap().to_str().unwrap();
        assert!(row[3].as_str().unwrap().starts_with(name), "{row}, {cell}");
        let note = cell["warning"].as_str();
        assert!(note.is_none_or(|note| row[3].as_str().unwrap().contains(note)), "{row}, {cell}");
    }
    let patients = tab.evaluate("[...document.querySelectorAll('#patient-rows tr')].map((row) => row.cells[0].innerText + ' ' + row.cells[1].innerText)");
    let counted = |patient: &Value| {
        let (name, called) = (patient["patient"].as_str().unwrap(), &patient["called"]);
        format!("{name} {} of {}", called["positive"], called["cells"])
    };
    let counted: Vec<String> = expected["patients"].as_array().unwrap().iter().map(counted).collect();
    assert_eq!(patients, json!(counted));
    let positive = cells.iter().filter(|cell| cell["class"] == "Parasitized").count();
    assert_eq!(tab.evaluate("document.querySelector('#positive').textContent"), positive.to_string());
    assert_eq!(tab.evaluate("document.querySelector('#unreadable').textContent"), "1");
    // HTML in a file name is shown as text.
    assert_eq!(tab.evaluate("document.querySelectorAll('#cell-rows b').length"), 0);
    let csv = tab.evaluate("import('/page.js').then(({ csv }) => csv())");
    assert_eq!(csv.as_str().unwrap().lines().count(), 98);
    assert!(csv.as_str().unwrap().contains("\"<b>bold, \"\"quoted\"\".png\""), "{csv}");
    assert_eq!(
        tab.evaluate("[...document.querySelectorAll('#cell-rows img[src]')].filter((image) => image.complete && image.naturalWidth > 0).length > 0"),
        true
    );
    tab
}

/// The page fits on every screen, is translated with the cells that it shows, and fetches nothing from other servers.
fn the_page_fits_screens_and_languages(mut tab: Tab, address: &str) -> Tab {
    // The longest call fits, too.
    tab.evaluate(
        "document.querySelector('#patient-rows td:last-child').textContent = 'not detected (limit 99.99 % at 5000 cells)'",
    );
    for (width, height, scheme) in
        [(1280, 900, "light"), (1280, 900, "dark"), (390, 844, "light"), (390, 844, "dark")]
    {
        tab.set_screen(width, height, scheme);
        let sticks_out = tab.evaluate(
            "Math.max(document.documentElement.scrollWidth - innerWidth, \
             ...[...document.querySelectorAll('.scroll')].map((table) => table.scrollWidth - table.clientWidth))",
        );
        assert!(sticks_out.as_i64().unwrap() <= 0, "{width}: {sticks_out}");
        check_accessibility(&mut tab);
        tab.screenshot(&format!("{width}-{scheme}.png"));
    }
    // In another language, also the cells shown already.
    tab.choose_language("fr");
    tab.wait_for("document.title === 'Hématies'");
    tab.wait_for("document.querySelector('#cell-rows').innerText.includes('illisible')");
    let rows = tab.evaluate("document.querySelector('#cell-rows').innerText");
    assert!(rows.as_str().unwrap().contains("enregistrez-la en PNG"), "{rows}");
    assert!(!tab.evaluate("document.body.innerText").as_str().unwrap().contains("unreadable"));
    tab.choose_language("en");
    tab.wait_for("document.title === 'Red blood cells'");
    // Nothing was fetched from other servers.
    let fetched = tab.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)");
    let own = |name: &Value| {
        name.as_str().unwrap().starts_with(address) || name.as_str().unwrap().starts_with("blob:")
    };
    assert!(fetched.as_array().unwrap().iter().all(own), "{fetched}");
    tab
}

#[test]
#[ignore = "needs Chromium"]
fn the_page_says_where_the_rule_for_patients_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(model()).unwrap();
    let mut description = Model::load(&bytes).unwrap().description().clone();
    description.smear.as_mut().unwrap().rates.infected.patients = 39;
    let fewer = folder.path().join("fewer.onnx");
    fs::write(&fewer, replace_description(&bytes, description, None).unwrap()).unwrap();
    for (path, few) in [(model(), false), (fewer, true)] {
        let (_server, address) = serve(&[path.to_str().unwrap(), "--port", "0"]);
        let ready = "document.querySelector('#model').textContent.includes('SHA-256')";
        let mut tab = Tab::open(&format!("{address}cells"), ready);
        let rule = tab.evaluate("document.querySelector('#model').textContent");
        let rule = rule.as_str().unwrap();
        assert!(rule.contains("in cross-validation, 90.00") && rule.contains("or cell finder"), "{rule}");
        assert_eq!(rule.contains("fewer than 40 patients (here 39)"), few, "{rule}");
    }
}
