//! Frames, compared to files.
//!
//! `EVKIT_SNAPSHOTS=overwrite cargo test --lib dashboard::view` writes what was drawn into the files; `git diff` shows what changed.

use std::fmt::Write as _;
use std::path::PathBuf;

use ratatui::backend::TestBackend;
use ratatui::style::Style;

use super::*;
use crate::dashboard::model::fixture::{feed, model_of, row};
use crate::dashboard::terminal::Screen;

/// A frame as text and, if it has looks, a letter for each cell's; the letters are explained below.
fn shown(buffer: &Buffer, with_styles: bool) -> String {
    let mut text = crate::dashboard::once::text(buffer, false);
    if !with_styles {
        return text;
    }
    let mut styles: Vec<Style> = Vec::new();
    text.push_str("--- looks\n");
    for y in 0..buffer.area.height {
        let letters: String = (0..buffer.area.width)
            .map(|x| {
                let style = buffer[(x, y)].style();
                let known = styles.iter().position(|known| *known == style).unwrap_or_else(|| {
                    styles.push(style);
                    styles.len() - 1
                });
                if style == Style::reset() { '.' } else { char::from(b'a' + known as u8) }
            })
            .collect();
        writeln!(text, "{}", letters.trim_end_matches('.')).unwrap();
    }
    for (index, style) in styles.iter().enumerate().filter(|(_, style)| **style != Style::reset()) {
        let fg = style.fg.map_or(String::new(), |fg| fg.to_string());
        writeln!(text, "{}: {fg} {:?}", char::from(b'a' + index as u8), style.add_modifier).unwrap();
    }
    text
}

/// Compares a frame with the file of this name.
#[track_caller]
fn check_file(name: &str, frame: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/dashboard/snapshots").join(format!("{name}.txt"));
    if std::env::var("EVKIT_SNAPSHOTS").is_ok_and(|mode| mode == "overwrite") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, frame).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == frame, "'{}' differs from\n{frame}", path.display());
}

struct Case<'a> {
    model: &'a Model,
    state: State,
    layout: Option<&'a str>,
    now: Option<Timestamp>,
    progress: Progress,
}

impl<'a> Case<'a> {
    fn new(model: &'a Model) -> Case<'a> {
        Case { model, state: State::default(), layout: None, now: None, progress: Progress::Recorded }
    }

    fn frame(&self, width: u16, height: u16, has_colour: bool) -> String {
        let layout = self.layout.map(|text| Layout::parse(text).unwrap());
        let scene = Scene {
            model: self.model,
            state: &self.state,
            layout: layout.as_ref(),
            input: "rows.ndjson",
            progress: self.progress,
            error: None,
            rows_now: self.model.stream.rows,
            now: self.now,
            theme: Theme { has_colour },
        };
        // Through a screen that has shown something else, so that the difference is what is tested.
        let mut screen = Screen::new(TestBackend::new(width, height));
        let other = Model::default();
        let Ok(_) = screen.draw(|buffer| draw(&Scene { model: &other, ..scene }, buffer));
        let Ok(_) = screen.draw(|buffer| draw(&scene, buffer));
        shown(screen.backend().buffer(), has_colour)
    }

    /// Compares the frame at both sizes, and at the smaller one with colours.
    #[track_caller]
    fn check(&self, name: &str) {
        check_file(&format!("{name}-80x24"), &self.frame(80, 24, false));
        check_file(&format!("{name}-200x60"), &self.frame(200, 60, false));
        check_file(&format!("{name}-80x24-colour"), &self.frame(80, 24, true));
    }
}

/// A shop's evening: three metrics of different shapes, watermarks, stats, an early row, a broken line.
fn shop() -> Model {
    let mut text = String::new();
    for minute in 0..50i64 {
        for (index, (country, currency)) in
            [("DE", "EUR"), ("FR", "EUR"), ("US", "USD"), ("JP", "JPY")].iter().enumerate()
        {
            let orders = 20 + (minute * 7 + index as i64 * 13) % 31;
            let total = orders as f64 * (12.5 + index as f64);
            text += &row(
                "revenue",
                minute,
                &format!(
                    r#""country":"{country}","currency":"{currency}","total_revenue":{total},"orders":{orders},"avg_order_value":{},"revision":0"#,
                    12.5 + index as f64
                ),
            );
        }
        text += &row(
            "purchases",
            minute,
            &format!(r#""count":{},"refunded":{},"revision":0"#, 100 + minute * minute % 37, minute % 5),
        );
        for rank in 1..=8 {
            text += &row(
                "top_products",
                minute,
                &format!(
                    r#""product_id":"p-{:04}","views":{},"rank":{rank},"revision":0"#,
                    (minute + rank * 31) % 97,
                    900 / rank + minute
                ),
            );
        }
    }
    text += &row("purchases", 50, r#""count":41,"refunded":0,"revision":0,"final":false"#);
    text += "{\"watermark\":\"2026-01-01T00:50:05.000Z\"}\n";
    text += r#"{"stats":{"watermark":"2026-01-01T00:50:05.000Z","held_by":"shop.ndjson","latency_us":3100,"in":120400,"rejected":2,"malformed":1,"future":1,"metrics":{"revenue":{"in":120398,"used":5000,"filtered":115367,"late":31,"no_window":0,"overflowed":0}}}}"#;
    model_of(&(text + "\n{\"metric\":\n"))
}

#[test]
fn panels_by_metric() {
    Case::new(&shop()).check("panels");
}

#[test]
fn a_chart_over_the_screen() {
    let model = shop();
    let mut case = Case::new(&model);
    case.state.is_full = true;
    case.state.rows.insert(0, 1);
    case.check("chart");
}

#[test]
fn help_filter_and_order() {
    let model = shop();
    let mut case = Case::new(&model);
    case.state.is_help = true;
    check_file("help-80x24", &case.frame(80, 24, false));
    let mut case = Case::new(&model);
    case.state.filter = "eur".into();
    case.state.sorts.insert(0, 2);
    check_file("filter-80x24", &case.frame(80, 24, false));
    case.state.is_typing = true;
    case.state.filter = "nothing has this".into();
    check_file("typing-80x24", &case.frame(80, 24, false));
}

#[test]
fn a_layout() {
    let model = shop();
    let layout = "[[row]]\n[[row.panel]]\nmetric = 'revenue'\ntitle = 'All countries'\nkind = 'value'\ngroup = []\nfields = ['total_revenue', 'orders']\n\
        [[row.panel]]\nmetric = 'revenue'\ntitle = 'By currency'\ngroup = 'currency'\nfields = 'orders'\nsort = '-orders'\n\
        [[row]]\nsize = 2\n[[row.panel]]\nmetric = 'revenue'\nkind = 'chart'\ngroup = 'country'\nfields = ['total_revenue']\nsize = 2\n\
        [[row.panel]]\nmetric = 'top_products'\nkind = 'sparkline'\n\
        [[row]]\n[[row.panel]]\nmetric = 'refunds'\ntitle = 'Refunds'\n[[row.panel]]\nmetric = 'purchases'\nfields = 'amount'\n\
        [[row.panel]]\nmetric = 'revenue'\ngroup = 'contry'\n";
    Case { layout: Some(layout), ..Case::new(&model) }.check("layout");
}

#[test]
fn a_live_stream_shows_the_clock() {
    let mut model = Model::default();
    let at = |second: i64| Timestamp(1_767_225_600_000_000 + second * 1_000_000);
    let lines = row("m", 0, r#""n":1"#) + "{\"watermark\":\"2026-01-01T00:01:10.000Z\"}\n";
    for line in lines.lines() {
        model.apply(&crate::dashboard::line::decode(line.as_bytes()).unwrap(), Some(at(65)));
    }
    let case = Case { now: Some(at(75)), progress: Progress::Live, ..Case::new(&model) };
    check_file("live-80x24", &case.frame(80, 24, false));
}

#[test]
fn a_stream_without_marks_names_the_flag() {
    let model = model_of(&row("m", 0, r#""n":1"#));
    check_file("no-marks-80x24", &Case { progress: Progress::Ended, ..Case::new(&model) }.frame(80, 24, false));
    check_file("empty-80x24", &Case::new(&Model::default()).frame(80, 24, false));
}

#[test]
fn text_from_outside_stays_text() {
    let nasty = r#""g":"\u001b[31mred\u0007 \u202eevil","n\u001b]0;x\u0007":1"#;
    let wide = r#""g":"東京都千代田区丸の内一丁目九番一号グラントウキョウ","n\u001b]0;x\u0007":2"#;
    let mut model = model_of(&(row("m\\u001b[2J", 0, nasty) + &row("m\\u001b[2J", 0, wide)));
    feed(&mut model, "\u{1b}[2Jno JSON\n");
    let frame = Case::new(&model).frame(80, 24, false);
    check_file("outside-80x24", &frame);
    assert!(!frame.contains(|c: char| c.is_control() && c != '\n'));
}

#[test]
fn every_size_is_drawn_or_refused() {
    let model = shop();
    for (width, height) in (0..=90).step_by(6).flat_map(|width| (0..=40).step_by(3).map(move |height| (width, height)))
    {
        for is_full in [false, true] {
            let mut case = Case::new(&model);
            case.state.is_full = is_full;
            case.state.is_help = width % 4 == 0;
            case.state.range = usize::from(height) % 6;
            let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
            let scene = Scene {
                model: &model,
                state: &case.state,
                layout: None,
                input: "stdin",
                progress: Progress::Live,
                error: Some("cannot read"),
                rows_now: 0,
                now: Some(Timestamp(0)),
                theme: Theme { has_colour: true },
            };
            draw(&scene, &mut buffer);
        }
    }
    let refused = Case::new(&model).frame(39, 24, false);
    assert!(refused.starts_with("evtop needs 40x12\nthis is 39x24\n"), "{refused}");
}
