//! The judgement for programs: one JSON object.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::judge::{ExperimentFate, Judgement, Obstacle, RowState};

/// The version of the layout.
const SCHEMA: u32 = 1;

pub(crate) fn write(judgement: &Judgement, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &object(judgement))?;
    writeln!(out)
}

pub(crate) fn object(judgement: &Judgement) -> Value {
    let system = &judgement.system;
    let rows = judgement.rows.iter().map(|row| {
        let state = match row.state {
            RowState::Works => "works",
            RowState::DoesNot => "does_not",
            RowState::NotTried => "not_tried",
        };
        json!({ "what": row.what, "state": state, "because": row.because, "cure": row.cure })
    });
    let settings = judgement
        .settings
        .iter()
        .map(|row| json!({ "name": row.name, "value": row.value, "meaning": row.meaning }));
    let tools = judgement
        .tools
        .iter()
        .map(|tool| json!({ "name": tool.name, "adds": tool.adds, "version": tool.version }));
    json!({
        "schema": SCHEMA,
        "os": system.os,
        "kernel": system.kernel,
        "user": system.user,
        "all_works": judgement.all_works(),
        "rows": rows.collect::<Vec<_>>(),
        "settings": settings.collect::<Vec<_>>(),
        "tools": tools.collect::<Vec<_>>(),
        "experiments": judgement.experiments.iter().map(experiment).collect::<Vec<_>>(),
    })
}

fn experiment(fate: &ExperimentFate) -> Value {
    let obstacle = fate.obstacle.map(|obstacle| match obstacle {
        Obstacle::NoPrivateNetwork => "no_private_network",
        Obstacle::NoSecondHost => "no_second_host",
        Obstacle::Settings => "settings",
        Obstacle::NoPackets => "no_packets",
    });
    json!({
        "name": fate.name,
        "runs": fate.of,
        "can_run": fate.runs,
        "obstacle": obstacle,
        "skipped": fate.obstacle.map(Obstacle::is_skipped),
    })
}
