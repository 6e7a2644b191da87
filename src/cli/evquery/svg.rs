//! `--svg`: the same lines as a drawing for a report.

use anyhow::anyhow;
use plotters::prelude::{
    ChartBuilder, Color, IntoDrawingArea, IntoFont, LineSeries, PathElement, RGBColor, SVGBackend, WHITE,
};

use crate::cli::evquery::chart::{Line, Lines, short};
use crate::time::Timestamp;

/// Lines that are drawn: as many as colours can be told apart.
const LINES_MAX: usize = 8;

/// Told apart by the colour-blind, too (Okabe and Ito 2008).
const COLORS: [RGBColor; LINES_MAX] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(204, 121, 167),
    RGBColor(240, 228, 66),
    RGBColor(0, 0, 0),
];

const SIZE: (u32, u32) = (1000, 500);

/// The drawing as SVG.
pub fn draw(lines: &Lines) -> anyhow::Result<String> {
    let mut svg = String::new();
    // Its errors borrow the drawing.
    drawn(lines, &mut svg).map_err(|error| anyhow!("cannot draw the chart: {error}"))?;
    Ok(svg)
}

fn drawn(lines: &Lines, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let greatest = lines.greatest(LINES_MAX);
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let points = || greatest.iter().flat_map(|line| &line.points);
    let times = points().fold(None, |range: Option<(i64, i64)>, (time, _)| {
        Some(range.map_or((time.0, time.0), |(first, last)| (first.min(time.0), last.max(time.0))))
    });
    let (first, last) = times.unwrap_or((0, 1));
    let (low, high) = points().fold((0_f64, 0_f64), |(low, high), (_, value)| (low.min(*value), high.max(*value)));
    let high = if low == high { low + 1.0 } else { high + (high - low) * 0.05 };
    let shown = if greatest.len() < lines.len() {
        format!("{} (the greatest {} of {})", lines.title, greatest.len(), lines.len())
    } else {
        lines.title.clone()
    };
    let mut chart = ChartBuilder::on(&area)
        .caption(shown, ("sans-serif", 20).into_font())
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(70)
        .build_cartesian_2d(first..last.max(first + 1), low..high)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_labels(6)
        .x_label_formatter(&|time| Timestamp(*time).to_string().chars().take(16).collect::<String>().replace('T', " "))
        .y_label_formatter(&|value| short(*value))
        .draw()?;
    for (line, color) in greatest.iter().zip(COLORS) {
        let Line { name, points } = line;
        let series = LineSeries::new(points.iter().map(|(time, value)| (time.0, *value)), color.stroke_width(2))
            .point_size(if points.len() == 1 { 4 } else { 0 });
        let mark = move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], color.stroke_width(2));
        chart.draw_series(series)?.label(name).legend(mark);
    }
    if greatest.len() > 1 {
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).draw()?;
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric, MetricSchema};
    use crate::time::Window;
    use crate::value::Value;

    #[test]
    fn each_group_is_a_line_with_its_name_escaped() {
        let schema =
            MetricSchema { name: "m".into(), groups: vec!["g".into()], aggregates: vec!["v".into()], ranked: false };
        let mut lines = Lines::of(&schema);
        for minute in 0..3_i64 {
            for group in ["a<b", "c"] {
                lines.add(&Metric {
                    metric: 0,
                    window: Window::new(Timestamp(minute), Timestamp(minute + 1)),
                    groups: [Value::Text(group.into())].into(),
                    aggregates: [Value::Int(i128::from(minute))].into(),
                    rank: None,
                    revision: 0,
                    is_final: true,
                    retracted: false,
                    state: None,
                });
            }
        }
        let svg = draw(&lines).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b"));
        assert!(svg.matches("<polyline").count() >= 2);
    }
}
