//! The report of a reading: one self-contained HTML file, made to be printed on A4.

use anyhow::Result;
use base64::{Engine, engine::general_purpose::STANDARD};
use malaria_edge::Model;
use malaria_metrics::{Interval, PatientCall};
use malaria_smear::{
    Corrected, Judgement, Kind, ObjectRecord, PatientCount, PerMicrolitre, ReviewedField, ReviewedSmear,
    Summary,
};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::phrases::Phrases;

const STYLE: &str = include_str!("report.css");
/// Ends of the figure's logarithmic axis: shares of infected cells.
const AXIS: [f64; 2] = [1e-4, 1.0];
/// Width of the figure, and of the margin on its left for the names of the rows.
const FIGURE: [f64; 2] = [640.0, 170.0];

/// The report of `reading`; `pictures` are JPEGs of its photographs in the same order, `None` for photographs that are not
/// available. The element with the id `reading` contains the record of the reading as JSON.
///
/// # Errors
/// Those of [`ReviewedSmear::summary`], and an unknown language.
pub(crate) fn render(model: &Model, reading: &ReviewedSmear, pictures: &[Option<Vec<u8>>]) -> Result<String> {
    let summary = reading.summary(model.description())?;
    let phrases = Phrases::of(&reading.language)?;
    let page = Page { phrases: &phrases, model, reading, summary: &summary };
    // A script's text ends at the first `</`.
    let record = serde_json::to_string(reading)?.replace('<', "\\u003c");
    let markup = html! {
        (DOCTYPE)
        html lang=(reading.language) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (phrases.text("report.title")) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (phrases.text("report.title")) }
                    p.notice role="note" { (phrases.text("app.notice")) }
                    (page.details())
                    (page.result())
                    (page.corrections())
                    (page.method())
                    p.signature { (phrases.text("details.signature")) }
                    section.photographs {
                        h2 { (phrases.text("fields.title")) }
                        (page.fields())
                        div.pictures {
                            @for (field, picture) in reading.fields.iter().zip(pictures) {
                                (page.picture(field, picture.as_deref()))
                            }
                        }
                        p.muted { (phrases.text("report.legend")) }
                    }
                }
                script id="reading" type="application/json" { (PreEscaped(record)) }
            }
        }
    };
    Ok(markup.into_string())
}

struct Page<'a> {
    phrases: &'a Phrases,
    model: &'a Model,
    reading: &'a ReviewedSmear,
    summary: &'a Summary,
}

impl Page<'_> {
    fn interval(&self, Interval { low, high }: Interval) -> String {
        let [low, high] = [low, high].map(|share| self.phrases.percent(share));
        self.phrases.with("interval", &[("low", &low), ("high", &high)])
    }

    fn share(&self, share: Option<f64>, interval: Interval) -> String {
        match share {
            Some(share) => format!("{} ({})", self.phrases.percent(share), self.interval(interval)),
            None => self.interval(interval),
        }
    }

    fn per_microlitre(&self, found: Option<PerMicrolitre>) -> Option<String> {
        let PerMicrolitre { estimate, low, high } = found?;
        let [low, high] = [low, high].map(|number| format!("{number:.0}"));
        Some(format!("{estimate:.0} ({})", self.phrases.with("interval", &[("low", &low), ("high", &high)])))
    }

    fn details(&self) -> Markup {
        let ReviewedSmear { patient, slide, operator, read_on, red_cells_per_microlitre, .. } = self.reading;
        let red_cells = red_cells_per_microlitre.map_or_else(String::new, |number| format!("{number:.0}"));
        let rows = [
            ("details.patient", patient),
            ("details.slide", slide),
            ("details.operator", operator),
            ("details.read-on", read_on),
            ("details.red-cells", &red_cells),
        ];
        html! {
            dl.details {
                @for (key, value) in rows {
                    div {
                        dt { (self.phrases.text(key)) }
                        dd { @if value.trim().is_empty() { (self.phrases.text("report.blank")) } @else { (value) } }
                    }
                }
            }
        }
    }

    /// The machine's call in words.
    fn call(&self, count: &PatientCount) -> String {
        let Some(verdict) = &count.verdict else {
            return self.phrases.text("call.no-rule").to_owned();
        };
        match verdict.result.call {
            PatientCall::Positive => self.phrases.text("call.positive").to_owned(),
            PatientCall::NotDetected { detection_limit } => self.phrases.with(
                "call.not-detected",
                &[("limit", &self.phrases.percent(detection_limit)), ("cells", &count.red_cells.to_string())],
            ),
            PatientCall::TooFewCells { more_cells } => {
                self.phrases.with("call.too-few-cells", &[("more", &more_cells.to_string())])
            }
            PatientCall::NotCalled => self.phrases.text("call.not-called").to_owned(),
        }
    }

    fn result(&self) -> Markup {
        let Self { phrases, summary, .. } = self;
        html! {
            section {
                h2 { (phrases.text("result.title")) }
                div.columns {
                    div.machine {
                        h3 { (phrases.text("result.machine")) }
                        @match &summary.machine {
                            Some(count) if count.red_cells > 0 => (self.machine(count)),
                            _ => p { (phrases.text("result.none")) },
                        }
                    }
                    div.person {
                        h3 { (phrases.text("result.person")) }
                        (self.person())
                    }
                }
                (self.figure())
            }
        }
    }

    fn machine(&self, count: &PatientCount) -> Markup {
        let phrases = self.phrases;
        let verdict = count.verdict.as_ref();
        html! {
            dl {
                dt { (phrases.text("result.call")) }
                dd.large { (self.call(count)) }
                dt { (phrases.text("result.infected")) " / " (phrases.text("result.red-cells")) }
                dd { (count.infected) " / " (count.red_cells) }
                @if let Some(verdict) = verdict {
                    dt { (phrases.text("result.machine-share")) }
                    dd { (self.share(verdict.result.infected_share, verdict.result.interval)) }
                }
                @if let Some(per_microlitre) = self.per_microlitre(count.infected_per_microlitre) {
                    dt { (phrases.text("result.per-microlitre")) }
                    dd { (per_microlitre) }
                }
            }
            @if verdict.is_some_and(|verdict| verdict.unfamiliar) {
                p.warning { (phrases.text("call.unfamiliar")) }
            }
            @if verdict.is_some_and(|verdict| verdict.seen_in_training) {
                p.warning { (phrases.text("call.seen-in-training")) }
            }
            @for [first, later] in &self.summary.repeated {
                @let name = |place: usize| self.reading.fields[place].reading.count.image.as_str();
                p.warning { (phrases.with("result.repeated", &[("name", name(*later)), ("first", name(*first))])) }
            }
        }
    }

    fn person(&self) -> Markup {
        let Self { phrases, summary, .. } = self;
        let progress = phrases.with(
            "result.progress",
            &[("reviewed", &summary.reviewed.to_string()), ("suspects", &summary.suspects.to_string())],
        );
        html! {
            p { @if summary.suspects == 0 { (phrases.text("result.no-suspects")) } @else { (progress) } }
            @match &summary.corrected {
                Some(Corrected { red_cells, infected, infected_share, interval, infected_per_microlitre }) => {
                    dl {
                        dt { (phrases.text("result.infected")) " / " (phrases.text("result.red-cells")) }
                        dd.large { (infected) " / " (red_cells) }
                        dt { (phrases.text("result.share")) }
                        dd { (self.share(Some(*infected_share), *interval)) }
                        @if let Some(per_microlitre) = self.per_microlitre(*infected_per_microlitre) {
                            dt { (phrases.text("result.per-microlitre")) }
                            dd { (per_microlitre) }
                        }
                    }
                    p.muted { (phrases.text("result.interval-note")) }
                },
                None => p { (phrases.text("result.pending")) },
            }
        }
    }

    /// Shares of infected cells with their intervals, and the detection limit, on a logarithmic axis.
    fn figure(&self) -> Markup {
        let [width, left] = FIGURE;
        let place = |share: f64| {
            let [low, high] = AXIS.map(f64::ln);
            let along = (share.clamp(AXIS[0], AXIS[1]).ln() - low) / (high - low);
            // Reports are compared as text, and logarithms differ between systems in their last digits.
            (10.0 * (left + (width - left - 32.0) * along)).round() / 10.0
        };
        let machine = self.summary.machine.as_ref();
        let verdict = machine.and_then(|count| count.verdict.as_ref());
        let of_machine = verdict.map(|verdict| (verdict.result.infected_share, verdict.result.interval));
        let of_person = self.summary.corrected.map(|found| (Some(found.infected_share), found.interval));
        let rows = [("result.machine", of_machine), ("result.person", of_person)];
        // Known only if the pictures resemble the training cells.
        let familiar = verdict.is_some_and(|verdict| !verdict.unfamiliar);
        let limit = self.model.description().patient_caller().ok().zip(machine).filter(|_| familiar);
        let limit = limit.and_then(|((_, caller), count)| caller.detection_limit(count.red_cells));
        if of_machine.is_none() && of_person.is_none() {
            return html! {};
        }
        html! {
            figure {
                figcaption { (self.phrases.text("report.figure")) }
                svg viewBox=(format!("0 0 {width} 104")) role="img" aria-label=(self.phrases.text("report.figure")) {
                    @for share in [1e-4, 1e-3, 1e-2, 1e-1, 1.0] {
                        line.grid x1=(place(share)) x2=(place(share)) y1="8" y2="78" {}
                        text x=(place(share)) y="96" text-anchor="middle" { (self.phrases.percent(share)) }
                    }
                    @if let Some(limit) = limit {
                        line.limit x1=(place(limit)) x2=(place(limit)) y1="8" y2="78" {}
                        text.limit x=(place(limit) + 4.0) y="16" { (self.phrases.text("report.limit")) }
                    }
                    @for (y, (key, found)) in [30.0, 62.0].into_iter().zip(rows) {
                        text x="0" y=(y + 4.0) { (self.phrases.text(key)) }
                        @if let Some((share, Interval { low, high })) = found {
                            line.interval x1=(place(low)) x2=(place(high)) y1=(y) y2=(y) {}
                            // A share of 0 has no place on the logarithmic axis.
                            @if let Some(share) = share.filter(|share| *share >= AXIS[0]) {
                                circle cx=(place(share)) cy=(y) r="5" {}
                            }
                        }
                    }
                }
            }
        }
    }

    /// The corrections that explain the difference between the machine's counts and the corrected ones.
    fn corrections(&self) -> Markup {
        let objects = || self.reading.fields.iter().flat_map(|field| &field.reading.objects);
        let judged = |test: fn(&ObjectRecord) -> bool, judgement: Judgement| {
            objects().filter(|object| test(object) && object.judgement == Some(judgement)).count()
        };
        let suspect: fn(&ObjectRecord) -> bool = |object| object.infected;
        let other: fn(&ObjectRecord) -> bool = |object| !object.infected;
        let red: fn(&ObjectRecord) -> bool = |object| object.kind == Kind::RedCell && !object.infected;
        let no_red: fn(&ObjectRecord) -> bool = |object| object.kind != Kind::RedCell;
        let added = |infected: bool| {
            let cells = self.reading.fields.iter().flat_map(|field| &field.added);
            cells.filter(|cell| cell.infected == infected).count()
        };
        let rows = [
            ("report.confirmed", judged(suspect, Judgement::Infected)),
            ("report.rejected", judged(suspect, Judgement::Uninfected)),
            ("report.no-red-cell", judged(suspect, Judgement::NoRedCell)),
            ("report.promoted", judged(other, Judgement::Infected)),
            ("report.removed", judged(red, Judgement::NoRedCell)),
            ("report.recovered", judged(no_red, Judgement::Uninfected)),
            ("report.added-infected", added(true)),
            ("report.added-uninfected", added(false)),
        ];
        html! {
            section {
                h2 { (self.phrases.text("report.corrections")) }
                table {
                    // Those of suspects always, the others if there are any.
                    @for (_, (key, number)) in rows.into_iter().enumerate().filter(|(i, (_, number))| *i < 3 || *number > 0) {
                        tr { th scope="row" { (self.phrases.text(key)) } td { (number) } }
                    }
                }
            }
        }
    }

    fn fields(&self) -> Markup {
        let phrases = self.phrases;
        let kinds = [Kind::WhiteCell, Kind::Clump];
        html! {
            table {
                thead { tr {
                    th scope="col" { (phrases.text("fields.photograph")) }
                    th scope="col" { (phrases.text("result.red-cells")) }
                    th scope="col" { (phrases.text("result.infected")) }
                    @for kind in kinds { th scope="col" { (phrases.text(&format!("kind.{kind}"))) } }
                    th scope="col" { (phrases.text("fields.remarks")) }
                } }
                @for ReviewedField { reading, sha256, .. } in &self.reading.fields {
                    @let counted = |test: fn(&ObjectRecord) -> bool| reading.objects.iter().filter(|object| test(object)).count();
                    tr {
                        td { (reading.count.image) " " span.muted { (sha256.get(..12).unwrap_or_default()) } }
                        td { (counted(|object| object.kind == Kind::RedCell)) }
                        td { (counted(|object| object.infected)) }
                        @for kind in kinds {
                            td { (reading.objects.iter().filter(|object| object.kind == kind).count()) }
                        }
                        td { (self.remarks(reading)) }
                    }
                }
            }
        }
    }

    fn remarks(&self, reading: &malaria_smear::FieldResult) -> String {
        let phrases = self.phrases;
        let count = reading.recounted(self.model.description());
        match (&reading.refusal, count.error) {
            (Some(refusal), _) => return phrases.text(&format!("refusal.{refusal}")).to_owned(),
            (None, Some(error)) => return error,
            (None, None) => {}
        }
        let caveats = count.caveats.iter();
        let mut remarks: Vec<String> =
            caveats.map(|caveat| phrases.text(&format!("caveat.{}", caveat.key())).to_owned()).collect();
        remarks.extend(count.unfamiliar.then(|| phrases.text("caveat.unfamiliar").to_owned()));
        remarks.extend(
            (count.warned > 0)
                .then(|| phrases.with("caveat.warned", &[("number", &count.warned.to_string())])),
        );
        if remarks.is_empty() { phrases.text("fields.none").to_owned() } else { remarks.join(" · ") }
    }

    fn method(&self) -> Markup {
        let made_by = &self.reading.made_by;
        let model =
            self.phrases.with("app.model", &[("model", &made_by.model), ("digest", &made_by.model_sha256)]);
        html! {
            section {
                h2 { (self.phrases.text("report.method")) }
                p { (self.phrases.text("app.counts")) }
                p { (self.phrases.text("report.rule")) }
                p.muted { (made_by.program) ". " (model) ". " (self.phrases.text("report.verify")) }
            }
        }
    }

    /// A photograph with what was found in it.
    fn picture(&self, field: &ReviewedField, picture: Option<&[u8]>) -> Markup {
        let ReviewedField { reading, added, .. } = field;
        let (width, height) = (reading.width.max(1), reading.height.max(1));
        let radius = reading.count.cell_diameter.unwrap_or(40.0) / 2.0;
        html! {
            figure.photograph {
                figcaption { (reading.count.image) }
                @match picture {
                    Some(jpeg) => svg viewBox=(format!("0 0 {width} {height}")) role="img" aria-label=(reading.count.image) {
                        image width=(width) height=(height) href=(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg))) {}
                        @for object in &reading.objects {
                            polygon class=(class(object)) points=(points(object)) {}
                        }
                        @for cell in added {
                            circle class=(if cell.infected { "judged-infected" } else { "judged-other" }) cx=(cell.x) cy=(cell.y) r=(radius) {}
                        }
                    },
                    None => p.muted { (self.phrases.text("fields.no-picture")) },
                }
            }
        }
    }
}

/// How an object is drawn.
fn class(object: &ObjectRecord) -> &'static str {
    match (object.judgement, object.kind) {
        (Some(Judgement::Infected), _) => "judged-infected",
        (Some(_), _) => "judged-other",
        (None, Kind::RedCell) if object.infected => "infected",
        (None, Kind::RedCell) => "uninfected",
        (None, _) => "other",
    }
}

fn points(object: &ObjectRecord) -> String {
    let corners = object.outline.iter().map(|[x, y]| format!("{x},{y}"));
    corners.collect::<Vec<_>>().join(" ")
}
