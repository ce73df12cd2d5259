//! Help, completions and manual pages, and the commands in the documents.

use std::fs;

use crate::{
    documents,
    support::{malaria, succeed},
};

#[test]
fn the_overview_and_a_subcommand_print_their_help() {
    let overview = succeed(&mut malaria("--help"));
    assert!(overview.contains("Commands:\n  train ") && overview.contains("malaria doctor"), "{overview}");
    let said = succeed(malaria("train").arg("--help"));
    assert!(said.contains("Examples:\n  malaria train"), "{said}");
    assert!(said.ends_with("Research software, not a medical device.\n"), "{said}");
}

#[test]
fn completions_name_the_subcommands_and_their_flags() {
    let script = succeed(malaria("completions").arg("bash"));
    assert!(script.contains("cross-validate") && script.contains("--target-specificity"), "{script}");
}

#[test]
fn commands_in_the_documents_have_a_manual_page_with_their_flags() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    succeed(malaria("man").arg(&pages));
    let help_of = |subcommand: &str| {
        let page = fs::read_to_string(pages.join(format!("malaria-{subcommand}.1")));
        // Hyphens are escaped, and fonts are switched by \fB, \fI and \fR.
        let page = page.unwrap_or_else(|error| panic!("malaria {subcommand}: {error}")).replace("\\-", "-");
        ["\\fB", "\\fI", "\\fR"].iter().fold(page, |page, font| page.replace(font, " "))
    };
    assert!(help_of("train").contains(" --target-specificity "), "{}", help_of("train"));
    let shown = documents::check(help_of, "malaria", "cargo run --release --bin malaria -- ");
    assert!(shown > 30, "{shown}");
}
