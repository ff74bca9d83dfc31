//! The bar that stands for long work.

use std::borrow::Cow;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where a bar is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarPlace {
    /// On stderr, if that is a terminal; otherwise nowhere.
    Terminal,
    /// Nowhere, because something else takes its place.
    Nowhere,
}

/// Starts a bar for `steps` steps of work, named by `unit` (`runs`, `exchanges`).
#[must_use]
pub fn bar(steps: u64, unit: &str, place: BarPlace) -> ProgressBar {
    let target = match place {
        BarPlace::Terminal => ProgressDrawTarget::stderr(),
        BarPlace::Nowhere => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(steps), target);
    let look = format!("{{bar:40}} {{pos}}/{{len}} {unit}, {{elapsed}} gone");
    match ProgressStyle::with_template(&look) {
        Ok(style) => bar.with_style(style),
        // A template that does not parse costs the look, not the run.
        Err(_) => bar.with_message(Cow::Owned(unit.to_owned())),
    }
}
