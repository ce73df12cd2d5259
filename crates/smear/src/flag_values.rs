//! Parses the values of flags: a patient, red cells per microlitre, a haematocrit.

use std::ops::RangeInclusive;

/// Plausible numbers of red cells per microlitre of blood.
pub(crate) const RED_CELLS_PER_MICROLITRE: RangeInclusive<f64> = 5e5..=1e7;

/// Parses the name of a patient.
///
/// # Errors
/// For an empty name.
pub fn parse_patient(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() { Err("expected a name".to_owned()) } else { Ok(name.to_owned()) }
}

/// Parses red cells per microlitre of blood. Laboratories also write them in millions, and with separators.
///
/// # Errors
/// The expected range, for a number outside 500,000 to 10,000,000.
pub fn parse_red_cells(text: &str) -> Result<f64, String> {
    let number =
        |text: &str| text.parse().ok().filter(|cells: &f64| RED_CELLS_PER_MICROLITRE.contains(cells));
    let in_millions = || number(&format!("{}e6", text.replace(',', ".")));
    let with_separators = || number(&text.replace([',', '.', ' ', '\'', '_'], ""));
    number(text).ok_or_else(|| match in_millions().or_else(with_separators) {
        Some(cells) => format!("expected red cells per microlitre; did you mean {cells:.0}?"),
        None => "expected red cells per microlitre, from 500000 to 10000000".to_owned(),
    })
}

/// Red cells per microlitre of blood with this haematocrit (a fraction), at a mean cell volume of 90 fl.
///
/// Source: B. J. Bain et al., "Dacie and Lewis Practical Haematology" (12th ed., 2017), chapter 2: 83 to 101 fl in healthy adults.
#[must_use]
pub fn red_cells_of_haematocrit(haematocrit: f64) -> f64 {
    // A microlitre is 1e9 fl.
    haematocrit * 1e9 / 90.0
}

/// Parses a haematocrit for [`red_cells_of_haematocrit`], a fraction.
///
/// # Errors
/// The expected range, for a haematocrit that implies an implausible number of red cells per microlitre.
pub fn parse_haematocrit(text: &str) -> Result<f64, String> {
    let possible = |share: &f64| RED_CELLS_PER_MICROLITRE.contains(&red_cells_of_haematocrit(*share));
    let share = text.parse().ok().filter(possible);
    share.ok_or_else(|| {
        let percent: Option<f64> = text.trim_end_matches(['%', ' ']).replace(',', ".").parse().ok();
        let fraction = percent.filter(|_| !text.contains('%'));
        // Rounded, since a hundredth of a decimal number may have many digits.
        let hundredth = percent.map(|number| (10.0 * number).round() / 1000.0);
        match fraction.into_iter().chain(hundredth).find(possible) {
            Some(share) => format!("expected a fraction from 0.045 to 0.9; did you mean {share}?"),
            None => "expected a fraction from 0.045 to 0.9, such as 0.42".to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_other_units_are_suggested() {
        for (text, expected) in [
            ("4500000", Ok(4.5e6)),
            ("4.5e6", Ok(4.5e6)),
            ("4.5", Err("did you mean 4500000?")),
            ("4,5", Err("did you mean 4500000?")),
            ("4,500,000", Err("did you mean 4500000?")),
            ("4.500.000", Err("did you mean 4500000?")),
            ("4 500 000", Err("did you mean 4500000?")),
            ("4500", Err("from 500000 to 10000000")),
            ("NaN", Err("from 500000 to 10000000")),
        ] {
            match (parse_red_cells(text), expected) {
                (Err(found), Err(words)) => assert!(found.contains(words), "{text}: {found}"),
                (found, expected) => assert_eq!(found.ok(), expected.ok(), "{text}"),
            }
        }
        for (text, expected) in [
            ("0.42", Ok(0.42)),
            ("42", Err("did you mean 0.42?")),
            ("42.5 %", Err("did you mean 0.425?")),
            ("0,42", Err("did you mean 0.42?")),
            ("0.9 %", Err("such as 0.42")),
            ("420", Err("from 0.045 to 0.9")),
            ("-1", Err("from 0.045 to 0.9")),
        ] {
            match (parse_haematocrit(text), expected) {
                (Err(found), Err(words)) => assert!(found.contains(words), "{text}: {found}"),
                (found, expected) => assert_eq!(found.ok(), expected.ok(), "{text}"),
            }
        }
        assert_eq!((parse_patient(" ann ").as_deref(), parse_patient(" ").is_err()), (Ok("ann"), true));
    }
}
