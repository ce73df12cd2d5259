//! The program `malaria`, started as its users start it, and what it leaves behind.

mod classes;
mod cli;
mod cross_validate;
mod doctor;
mod export;
mod faults;
mod help;
mod installed;
mod json;
#[path = "../../../../tests/it/outer_cargo.rs"]
mod outer_cargo;
mod pretrained;
mod report_page;
mod resume_equal;
mod support;
mod synthetic_cells;
mod teacher;
mod wrong_use;
