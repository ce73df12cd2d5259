//! The page for smears of `malaria-edge serve` in a real browser: three synthetic fields are read, corrected, reported and
//! verified.
//!
//! Needs Chromium: `cargo test -p malaria-edge --test it smear_page:: -- --ignored`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use malaria_dataset::{SmearConfig, synthetic_smear};
use serde_json::{Value, json};

use crate::browser::{Tab, check_accessibility, click, press, serve, settle, text};

/// Whether the page has been set up, as an expression.
pub(crate) const READY: &str = "document.querySelector('#model').textContent.includes('field-int8')";

/// Three synthetic fields. The last one is a TIFF, which browsers do not show.
pub(crate) fn photographs(folder: &Path) -> Vec<PathBuf> {
    let write = |(seed, name): (u64, &str)| {
        let base =
            SmearConfig { width: 900, height: 700, cell_diameter: 70.0, cells: 40, ..SmearConfig::default() };
        let path = folder.join(name);
        synthetic_smear(&SmearConfig { parasitaemia: 0.3, seed, ..base }).unwrap().image.save(&path).unwrap();
        path
    };
    [(1, "a.png"), (2, "b.jpg"), (3, "c.tif")].into_iter().map(write).collect()
}

fn edge(arguments: &[&str], paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_malaria-edge")).args(arguments).args(paths).output().unwrap()
}

fn check_widths(tab: &mut Tab, name: &str) {
    for (width, height, scheme) in
        [(1280, 900, "light"), (1280, 900, "dark"), (390, 844, "light"), (390, 844, "dark")]
    {
        tab.set_screen(width, height, scheme);
        let sticks_out = tab.evaluate("document.documentElement.scrollWidth - innerWidth").as_i64().unwrap();
        assert!(sticks_out <= 0, "{name} at {width}: {sticks_out}");
        check_accessibility(tab);
        tab.screenshot(&format!("{name}-{width}-{scheme}.png"));
    }
    tab.set_screen(1280, 900, "light");
}

#[test]
#[ignore = "needs Chromium"]
fn fields_are_read_corrected_reported_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    let files = photographs(&photos);
    let counted = edge(&["smear", "--json"], &[&photos]);
    let counted: Value = serde_json::from_slice(&counted.stdout).unwrap();
    let expected = &counted["patients"][0];
    let suspects = expected["infected"].as_u64().unwrap();
    assert!(suspects >= 5, "{counted}");

    let (_server, address) = serve(&["--port", "0"]);
    let mut tab = Tab::open(&address, READY);
    tab.set_screen(1280, 900, "light");
    check_widths(&mut tab, "smear-empty");
    for file in &files {
        tab.drop(file);
    }
    tab.wait_for("document.querySelectorAll('#fields li').length === 3");
    tab.wait_for("document.querySelector('#status').textContent === 'Photographs read: 1'");
    settle(&mut tab);

    let red_cells = expected["red_cells"].as_u64().unwrap();
    let tab = fields_are_counted(tab, expected, &files, folder.path());
    let tab = cells_are_corrected(tab, suspects);
    let tab = the_review_is_completed_after_a_reload(tab, suspects, red_cells);
    let tab = every_language_is_shown(tab, folder.path());
    let (_tab, report) = files_are_saved(tab, &files, suspects, red_cells);
    let path = folder.path().join("report.html");
    fs::write(&path, &report).unwrap();
    the_report_is_printed(&path);
    the_report_is_verified(&path, &report, &files, suspects);
}

/// The page has the counts of the command, `expected`. Copies, and files that are no pictures, do not count.
fn fields_are_counted(mut tab: Tab, expected: &Value, files: &[PathBuf], folder: &Path) -> Tab {
    let suspects = expected["infected"].as_u64().unwrap();
    assert_eq!(text(&mut tab, "#red-cells"), expected["red_cells"].to_string());
    assert_eq!(text(&mut tab, "#infected"), suspects.to_string());
    assert_eq!(text(&mut tab, "#review-progress"), format!("0 of {suspects} suspects reviewed"));
    assert_eq!(tab.evaluate("document.querySelectorAll('#suspects .cell').length"), suspects);
    assert_eq!(tab.evaluate("document.querySelectorAll('#fields canvas').length"), 3);
    // Of the other cells, the most probable ones, and more on request.
    let others = expected["red_cells"].as_u64().unwrap() - suspects;
    let shown = "document.querySelectorAll('#uncertain .cell').length";
    assert_eq!(tab.evaluate(shown), others.min(30));
    tab.evaluate("document.querySelector('#more').click()");
    assert_eq!(tab.evaluate(shown), others.min(60));
    // Each gallery is one stop of the Tab key.
    let stops =
        "['#suspects', '#uncertain'].map((id) => document.querySelectorAll(`${id} [tabindex='0']`).length)";
    assert_eq!(tab.evaluate(stops), json!([1, 1]));
    // The same picture in another file does not count again.
    let copy = folder.join("copy.png");
    image::open(&files[0]).unwrap().save(&copy).unwrap();
    tab.choose(
        "#files",
        &[copy, folder.join("photos/none.png")].map(|path| {
            if !path.exists() {
                fs::write(&path, b"no picture").unwrap();
            }
            path
        }),
    );
    tab.wait_for("document.querySelector('#status').textContent.includes('same picture as a.png')");
    assert_eq!(text(&mut tab, "#red-cells"), expected["red_cells"].to_string());
    assert!(
        text(&mut tab, "#status").contains("none.png: This is not a PNG, JPEG, BMP, TIFF or WebP picture")
    );
    fs::remove_file(folder.join("photos/none.png")).unwrap();
    assert_eq!(tab.evaluate("document.querySelectorAll('#fields li').length"), 3);
    settle(&mut tab);
    tab
}

/// Corrections by keyboard and by clicks, in the galleries and in the enlarged photograph.
fn cells_are_corrected(mut tab: Tab, suspects: u64) -> Tab {
    // Corrected by keyboard: the first is infected, the second is not, the third is not a red cell; one change is undone.
    tab.evaluate("document.querySelector('#suspects .cell').focus()");
    for key in ["i", "n", "x", "x", "z"] {
        press(&mut tab, key);
        settle(&mut tab);
    }
    assert_eq!(text(&mut tab, "#review-progress"), format!("3 of {suspects} suspects reviewed"));
    assert_eq!(tab.evaluate("document.querySelector('#corrected').hidden"), true);
    // A tile leads to its cell, in the middle of the enlarged photograph; a click selects it.
    tab.evaluate("document.querySelectorAll('#suspects .cell')[1].click()");
    let cell = text(&mut tab, "#selected");
    assert!(cell.contains("Not infected"), "{cell}");
    let scale = "new DOMMatrix(document.querySelector('#sheet').style.transform).a";
    let enlarged = tab.evaluate(scale);
    assert!(enlarged.as_f64().unwrap() > 1.0);
    // A wheel that turns sideways does not zoom.
    let [x, y] = tab.middle("#stage");
    let wheel = json!({ "type": "mouseWheel", "x": x, "y": y, "deltaX": 50, "deltaY": 0 });
    tab.call("Input.dispatchMouseEvent", wheel);
    assert_eq!(tab.evaluate(scale), enlarged);
    press(&mut tab, "ArrowRight");
    assert_ne!(text(&mut tab, "#selected"), cell);
    tab.evaluate("document.querySelector('#viewer-close').click()");
    tab.evaluate("document.querySelectorAll('#suspects .cell')[1].click()");
    let place = tab.middle("#stage");
    click(&mut tab, [place[0] - 200.0, place[1]]);
    assert_ne!(text(&mut tab, "#selected"), cell);
    click(&mut tab, place);
    assert_eq!(text(&mut tab, "#selected"), cell);
    tab.evaluate("document.querySelector('#viewer-close').click()");
    // A missed cell is added in the middle, judged not infected, and infected again. Another one, by a click, is undone; the key
    // for "not a red cell" then does not remove the first one.
    tab.evaluate("document.querySelector('#fields .field').click()");
    tab.evaluate("const add = document.querySelector('#add'); add.focus(); add.click()");
    for key in ["Enter", "a", "n", "i"] {
        press(&mut tab, key);
        settle(&mut tab);
    }
    let added = text(&mut tab, "#selected");
    assert!(added.contains("Added by a person: Infected"), "{added}");
    press(&mut tab, "a");
    press(&mut tab, "ArrowRight");
    let place = tab.middle("#stage");
    click(&mut tab, place);
    settle(&mut tab);
    assert_eq!(tab.evaluate("document.querySelectorAll('#overlay circle').length"), 2);
    for key in ["a", "z", "x"] {
        press(&mut tab, key);
        settle(&mut tab);
    }
    assert_eq!(tab.evaluate("document.querySelectorAll('#overlay circle').length"), 1);
    assert_eq!(text(&mut tab, "#selected"), "No cell selected");
    for hidden in [true, false] {
        tab.evaluate("document.querySelector('#outlines').click()");
        assert_eq!(tab.evaluate("document.querySelector('#overlay').classList.contains('hidden')"), hidden);
    }
    check_widths(&mut tab, "smear-viewer");
    press(&mut tab, "Escape");
    let typed = "const patient = document.querySelector('[name=patient]'); patient.value = 'ann'; \
                 patient.dispatchEvent(new Event('input', { bubbles: true })); 0";
    tab.evaluate(typed);
    settle(&mut tab);
    tab
}

/// A reload loses nothing; then every suspect is judged.
fn the_review_is_completed_after_a_reload(mut tab: Tab, suspects: u64, red_cells: u64) -> Tab {
    tab.reload(READY);
    tab.wait_for("document.querySelectorAll('#suspects .cell').length > 0");
    settle(&mut tab);
    assert_eq!(text(&mut tab, "#review-progress"), format!("3 of {suspects} suspects reviewed"));
    assert_eq!(tab.evaluate("document.querySelector('[name=patient]').value"), "ann");
    assert!(text(&mut tab, "#fields").contains("Added by a person: 1"));

    // The others are infected.
    tab.evaluate("document.querySelectorAll('#suspects .cell')[3].focus()");
    for _ in 3..suspects {
        press(&mut tab, "i");
        settle(&mut tab);
    }
    assert_eq!(text(&mut tab, "#review-progress"), format!("{suspects} of {suspects} suspects reviewed"));
    // One suspect is not infected, one is not a red cell, and one cell was added.
    assert_eq!(text(&mut tab, "#corrected-infected"), (suspects - 1).to_string());
    assert_eq!(text(&mut tab, "#corrected-red-cells"), red_cells.to_string());
    check_widths(&mut tab, "smear-reviewed");
    tab
}

/// Every language, with a refusal of the server and a photograph that cannot be decoded in one of them.
fn every_language_is_shown(mut tab: Tab, folder: &Path) -> Tab {
    for (language, word) in [("fr", "Résultat"), ("es", "Resultado"), ("pt", "Resultado"), ("en", "Result")]
    {
        tab.choose_language(language);
        tab.wait_for(&format!("document.querySelector('#result-title').textContent === '{word}'"));
        settle(&mut tab);
        assert_eq!(tab.evaluate("document.documentElement.lang"), language);
        check_widths(&mut tab, &format!("smear-{language}"));
    }

    // A refusal of the server, and a photograph that cannot be decoded, in another language.
    tab.choose_language("fr");
    tab.wait_for("document.querySelector('#result-title').textContent === 'Résultat'");
    let refused = tab.evaluate(
        "import('/smear/server.js').then(({ ask }) => ask('/nowhere')).catch((error) => error.message)",
    );
    assert!(refused.as_str().unwrap().contains("Il n’y a rien à cette adresse"), "{refused}");
    let heic = folder.join("phone.heic.jpg");
    fs::write(&heic, b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap();
    tab.choose("#files", &[heic]);
    tab.wait_for("document.querySelector('#status').textContent.includes('enregistrez-la en JPEG')");
    tab.choose_language("en");
    tab.wait_for("document.querySelector('#result-title').textContent === 'Result'");
    settle(&mut tab);
    tab
}

/// The report, CSV, JSON and photographs are saved. Returns the report, which has the corrected counts.
fn files_are_saved(mut tab: Tab, files: &[PathBuf], suspects: u64, red_cells: u64) -> (Tab, String) {
    tab.evaluate(
        "window.saved = []; const create = URL.createObjectURL; \
         URL.createObjectURL = (blob) => (window.last = blob, create(blob)); \
         HTMLAnchorElement.prototype.click = function () { saved.push(window.last); }; 0",
    );
    tab.evaluate("document.querySelector('#save-report').click()");
    tab.wait_for("window.saved.length === 1");
    let report = tab.evaluate("saved[0].text()");
    let report = report.as_str().unwrap().to_owned();
    assert!(report.contains(&format!("{} / {red_cells}", suspects - 1)));
    tab.evaluate("document.querySelector('#save-csv').click()");
    let csv = tab.evaluate("saved[1].text()");
    assert!(csv.as_str().unwrap().lines().filter(|line| line.ends_with("no-red-cell")).count() == 1, "{csv}");
    tab.evaluate("document.querySelector('#save-json').click()");
    let record = tab.evaluate("saved[2].text()");
    let record: Value = serde_json::from_str(record.as_str().unwrap()).unwrap();
    assert_eq!((record["format_version"].as_u64(), &record["patient"]), (Some(2), &"ann".into()));
    tab.evaluate("document.querySelector('#save-photographs').click()");
    tab.wait_for("window.saved.length === 6");
    let sizes = files.iter().map(|file| fs::metadata(file).unwrap().len());
    assert_eq!(tab.evaluate("saved.slice(3).map(({ size }) => size)"), json!(Vec::from_iter(sizes)));
    // Except the refusal above.
    let errors: Vec<&Value> =
        tab.console.iter().filter(|message| !message.to_string().contains("/nowhere")).collect();
    assert!(errors.is_empty(), "{errors:?}");
    (tab, report)
}

/// `verify` finds no difference, writes the judged cells, and finds a changed word and a missing photograph.
fn the_report_is_verified(path: &Path, report: &str, files: &[PathBuf], suspects: u64) {
    let photos = path.with_file_name("photos");
    let verified = edge(&["verify"], &[path, &photos]);
    assert!(verified.status.success(), "{verified:?}");
    let cells = path.with_file_name("cells");
    let written = edge(&["verify", "--cells", cells.to_str().unwrap()], &[path, &photos]);
    assert!(written.status.success(), "{written:?}");
    let labelled = |class: &str| fs::read_dir(cells.join(class)).unwrap().count() as u64;
    assert_eq!((labelled("Parasitized"), labelled("Uninfected")), (suspects - 1, 1), "with the added one");
    assert!(fs::read_to_string(cells.join("patients.csv")).unwrap().contains(",ann\n"));
    // A changed word and a missing photograph are found.
    fs::write(path, report.replacen("</dd>", "!</dd>", 1)).unwrap();
    fs::remove_file(&files[2]).unwrap();
    let refused = edge(&["verify"], &[path, &photos]);
    let words = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(!refused.status.success());
    assert!(words.contains("does not match its record") && words.contains("c.tif"), "{words}");
}

/// The report fits on both screens, and on two pages of A4.
fn the_report_is_printed(path: &Path) {
    let mut paper = Tab::open(&format!("file://{}", path.display()), "true");
    for (width, height) in [(1280, 900), (390, 844)] {
        paper.set_screen(width, height, "light");
        let sticks_out =
            paper.evaluate("document.documentElement.scrollWidth - innerWidth").as_i64().unwrap();
        assert!(sticks_out <= 0, "the report at {width}: {sticks_out}");
        check_accessibility(&mut paper);
        paper.screenshot(&format!("smear-report-{width}.png"));
    }
    paper.call("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    let sizes =
        "['dt', 'dd'].map((name) => parseFloat(getComputedStyle(document.querySelector(name)).fontSize))";
    let sizes = paper.evaluate(sizes);
    assert!(sizes[0].as_f64() < sizes[1].as_f64(), "labels are smaller than values: {sizes}");
    let printed = paper.call("Page.printToPDF", json!({ "preferCSSPageSize": true }));
    let pdf = STANDARD.decode(printed["data"].as_str().unwrap()).unwrap();
    if let Some(folder) = std::env::var_os("SCREENSHOTS") {
        fs::write(Path::new(&folder).join("smear-report.pdf"), &pdf).unwrap();
    }
    let pages = pdf.windows(12).filter(|window| window.starts_with(b"/Type /Page\n")).count();
    assert!((1..=2).contains(&pages), "{pages}");
}

#[test]
#[ignore = "needs Chromium"]
fn a_hundred_suspects_are_reviewed_by_keyboard_on_a_phone_whose_store_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crowded.png");
    let crowded =
        SmearConfig { width: 1600, height: 1200, cell_diameter: 70.0, cells: 180, ..SmearConfig::default() };
    synthetic_smear(&SmearConfig { parasitaemia: 0.9, seed: 1, ..crowded })
        .unwrap()
        .image
        .save(&path)
        .unwrap();
    let (_server, address) = serve(&["--port", "0"]);
    let mut tab = Tab::open(&address, READY);
    tab.set_screen(390, 844, "light");
    // Enough for the record of the field, too little for its photograph.
    let quota = json!({ "origin": address.trim_end_matches('/'), "quotaSize": 2_000_000 });
    tab.call("Storage.overrideQuotaForOrigin", quota);
    assert!(fs::metadata(&path).unwrap().len() > 2_000_000);
    tab.choose("#files", std::slice::from_ref(&path));
    tab.wait_for("document.querySelector('#status').textContent === 'Photographs read: 1'");
    settle(&mut tab);
    assert!(text(&mut tab, "#storage").contains("storage is full"));

    // As fast as keys are pressed: nothing is awaited between them.
    let suspects = tab.evaluate("document.querySelectorAll('#suspects .cell').length").as_u64().unwrap();
    assert!(suspects >= 100, "{suspects}");
    tab.evaluate("document.querySelector('#suspects .cell').focus()");
    for number in 0..100 {
        press(&mut tab, if number % 10 == 9 { "n" } else { "i" });
    }
    settle(&mut tab);
    let progress = format!("100 of {suspects} suspects reviewed");
    assert_eq!(text(&mut tab, "#review-progress"), progress);
    let judged = "['infected', 'uninfected'].map((judgement) => document.querySelectorAll(`#suspects [data-judgement=${judgement}]`).length)";
    assert_eq!(tab.evaluate(judged), json!([90, 10]));
    let sticks_out = tab.evaluate("document.documentElement.scrollWidth - innerWidth").as_i64().unwrap();
    assert!(sticks_out <= 0, "{sticks_out}");
    tab.screenshot("smear-hundred-390.png");

    // A reload loses the photograph, but no correction; the same photograph brings its cells back.
    tab.reload(READY);
    tab.wait_for("document.querySelectorAll('#suspects .cell').length > 0");
    settle(&mut tab);
    assert_eq!(text(&mut tab, "#review-progress"), progress);
    assert!(text(&mut tab, "#fields").contains("Drop it again"));
    assert_eq!(tab.evaluate("document.querySelector('#suspects .cell').disabled"), true);
    tab.choose("#files", &[path]);
    tab.wait_for("!document.querySelector('#suspects .cell').disabled");
    settle(&mut tab);
    assert_eq!(text(&mut tab, "#review-progress"), progress);
    assert_eq!(tab.evaluate(judged), json!([90, 10]));
}
