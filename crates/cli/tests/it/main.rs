//! The program `malaria`, started as its users start it, and the files that it writes.

mod build_dataset;
mod classes;
mod compare;
mod cross_validate;
mod doctor;
mod documents;
mod evaluate;
mod export;
mod faults;
mod help;
#[cfg(target_os = "linux")]
mod interrupted;
mod json;
mod moved;
#[path = "../../../../tests/it/outer_cargo.rs"]
mod outer_cargo;
mod patients;
mod predict;
mod pretrained;
mod report_page;
mod slow;
mod smear;
mod support;
mod teacher;
mod train;
mod wrong_use;
