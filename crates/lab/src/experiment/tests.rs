//! Files that make sense, and files that do not.

use super::*;
use proptest::prelude::*;

fn read(source: &str) -> Result<Experiment, String> {
    Experiment::read("own", "own.toml", source, &ExperimentWish::default())
        .map_err(|error| error.to_string())
}

fn over(overrides: &[&str]) -> ExperimentWish {
    let parse = |text: &&str| Override::parse(text).unwrap();
    let overrides = overrides.iter().map(parse).collect();
    ExperimentWish { overrides, ..ExperimentWish::default() }
}

fn wrong(source: &str) -> String {
    read(source).unwrap_err()
}

const CAP: &str = "question = 'x'\n\
    [client]\n\
    per_host = 2\n\
    [workload]\n\
    kind = 'concurrent'\n\
    [[predict]]\n\
    expect.opened = 'workers + (requests - 1) * (workers - per_host)'\n\
    because = 'y'\n";

fn first(experiment: &Experiment) -> &RunPrediction {
    &experiment.trials[0].predictions[0]
}

#[test]
fn an_experiment_runs_through_every_transport_that_it_does_not_exclude() {
    let experiment = read(CAP).unwrap();
    let presets: Vec<Preset> = experiment.trials.iter().map(|trial| trial.preset).collect();
    assert_eq!(presets, Preset::ALL);
    let one = read(&format!("transports = ['go']\n{CAP}")).unwrap();
    assert_eq!(one.trials.len(), 1);
}

#[test]
fn an_override_changes_the_prediction_too() {
    assert_eq!(first(&read(CAP).unwrap()).least, 82.0);
    let changed = Experiment::read("own", "own.toml", CAP, &over(&["client.per_host=5"])).unwrap();
    assert_eq!((first(&changed).least, first(&changed).most), (55.0, 55.0));
    assert_eq!(
        first(&changed).expected.rule().as_deref(),
        Some("workers + (requests - 1) * (workers - per_host)")
    );
}

#[test]
fn a_case_is_laid_over_the_file_and_has_its_own_prediction() {
    let experiment = read(
        "question = 'x'\ntransports = ['go']\nserver.bytes = 11\n\
         [[case]]\nname = 'a'\nclient.per_host = 1\n\
         [[case]]\nname = 'b'\nclient.per_host = 3\nserver.bytes = '1KiB'\n\
         [[predict]]\nexpect.opened = 'per_host'\nbecause = 'y'\n\
         [[predict]]\ncases = ['b']\nexpect.failed = '0 .. 1'\nbecause = 'z'\n",
    )
    .unwrap();
    let [a, b] = &experiment.trials[..] else { panic!("two cases") };
    assert_eq!((a.predictions.len(), a.predictions[0].most), (1, 1.0));
    assert_eq!((b.predictions.len(), b.predictions[0].most, b.predictions[1].most), (2, 3.0, 1.0));
    assert_eq!(b.settings.server.bytes.unwrap().0, 1024);
}

#[test]
fn a_case_is_not_overridden_in_what_it_is_about() {
    let source = "question = 'x'\n[[case]]\nname = 'a'\nclient.per_host = 1\n\
                  [[predict]]\nexpect.opened = 1\nbecause = 'y'\n";
    let error =
        Experiment::read("own", "own.toml", source, &over(&["client.per_host=5"])).unwrap_err();
    insta::assert_snapshot!(
        error,
        @"--set client.per_host=5: own.toml: its case `a` sets client.per_host itself; copy the file to change that"
    );
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_those_that_are_allowed() {
    insta::assert_snapshot!(wrong("question = 'x'\n\n[network]\nport = 1\n"), @r"
    own.toml: TOML parse error at line 4, column 1
      |
    4 | port = 1
      | ^^^^
    unknown field `port`, expected one of `local_ports`, `tcp_tw_reuse`, `tcp_tw_reuse_delay`, `tcp_max_tw_buckets`, `tcp_fin_timeout`, `somaxconn`, `tcp_retries2`, `tcp_keepalive_probes`, `tcp_slow_start_after_idle`, `tcp_no_metrics_save`, `tcp_congestion_control`, `hosts`, `delay`, `rate`, `loss`, `seed`, `cable`
    ");
    assert!(wrong("frage = 'x'").contains("expected one of `question`"));
    assert!(wrong("question = 'x'\nworkload.steps = [{ wiat = '1s' }]").contains("`wait`"));
}

#[test]
fn a_value_of_the_wrong_kind_says_what_is_expected() {
    for (setting, expected) in [
        ("server.delay = 20", "20: no unit; expected a time as in \"20ms\" or \"1s\""),
        ("server.delay = '2 days'", "`2 days`: longer than a day; expected a time"),
        ("server.bytes = 'many'", "`many`: not a number of bytes; expected a number of bytes"),
        ("client.per_host = -1", "invalid value: integer `-1`, expected a number, 0 or more"),
        (
            "client.max_idle = 'all'",
            "`all`: not a number; expected a number, 0 or more, or \"none\"",
        ),
        ("client.body = 'eat'", "expected one of `drain`, `drop`, `hold`"),
    ] {
        let error = wrong(&format!("question = 'x'\n{setting}\n"));
        assert!(error.contains(expected) && error.contains("line 2"), "{error}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_runs() {
    let script = |steps: &str| format!("workload = {{ kind = 'script', steps = [{steps}] }}");
    let cases = [
        (
            "",
            "opend = 1",
            ", line 4: `opend` names `opend`, which is unknown; did you mean `opened`?",
        ),
        (
            "",
            "opened = 'worker'",
            ", line 4: `worker` names `worker`, which is unknown; did you mean `workers`?",
        ),
        ("", "opened = 'opened'", ", line 4: `opened` names `opened`, which is unknown"),
        ("", "opened = 'requests / 0'", ", line 4: `requests / 0` gives no number: "),
        ("", "opened = '5 .. 3'", ", line 4: the range `5 .. 3` is empty: from 5 to 3"),
        ("", "opened = '1 +'", ", line 4: `1 +` is no formula"),
        ("chart = 'opend'", "opened = 1", ", line 2: `opend` names `opend`"),
        (
            "client.max_idle = 3",
            "opened = 1",
            ": hyper-util has no limit on idle connections in all",
        ),
        ("workload.requests = 0", "opened = 1", ": workload.requests: none would do nothing"),
        ("workload.workers = 3", "opened = 1", "kind = \"sequential\" has one"),
        ("workload.steps = ['finish']", "opened = 1", "only for kind = \"script\""),
        ("server.starts = 'when-told'", "opened = 1", "when-told needs a script that tells it"),
        ("server.count = 0", "opened = 1", ": server.count: from 1 to 16"),
        (&script("{ request = { server = 2 } }"), "opened = 1", "there is no server 2 of 1"),
        (
            &script("{ request = {} }, 'listen'"),
            "opened = 1",
            "listen and accept need server.starts",
        ),
        (
            &script("{ request = {} }, { snapshot = 'after' }"),
            "opened = 1",
            "the name has a meaning already",
        ),
        (
            &script("{ request = {} }, { snapshot = 'workers' }"),
            "opened = 1",
            "the name has a meaning already",
        ),
        (
            &script("{ request = {} }, { snapshot = 'if' }"),
            "opened = 1",
            "the name has a meaning already",
        ),
        (
            &script("{ request = {} }, { snapshot = 'a' }, { snapshot = 'a' }"),
            "opened = 1",
            "there is one of this name",
        ),
        ("client.max_conns_per_host = 0", "opened = 1", "every request waits for ever"),
        ("client.tcp_keepalive = '500ms'", "opened = 1", "whole seconds, from 1 to 32767"),
        ("transports = []", "opened = 1", "no transport"),
        ("transports = ['go', 'go']", "opened = 1", "go twice"),
        ("look_for = \"a\\u001b[2J\"", "opened = 1", "control character"),
        ("look_for = \"a\u{202e}b\"", "opened = 1", "control character"),
        ("server.\"a\\u001bb\" = 1", "opened = 1", "control character"),
        ("", "\"opened /*\u{202e}*/\" = 1", "control character"),
        ("", "opened = '1e309'", "gives no number: it is too large"),
        ("", "\"sleep(10)\" = 1", "`sleep(10)` gives no number: "),
        ("", "'\"a\".len()' = 1", "gives no number: "),
        ("", "'true' = 1", "`true` gives no number: it is a bool"),
        ("", "running = 1", "`running` names `running`, which is unknown"),
        ("", "opened = '..'", "the range `..` is open at both ends"),
        (
            &script("{ snapshot = 'A b' }, { request = {} }"),
            "opened = 1",
            "a name is made of small letters",
        ),
        (&script(""), "opened = 1", "a script needs a request"),
    ];
    for (setting, expect, expected) in cases {
        let source =
            format!("question = 'x'\n{setting}\n[[predict]]\nexpect.{expect}\nbecause = 'y'\n");
        let error = wrong(&source);
        assert!(error.starts_with("own.toml") && error.contains(expected), "{source}\n{error}");
    }
    assert_eq!(wrong("question = 'x'"), "own.toml: nothing is predicted for transport go");
    let measure = "[[measure]]\nshow = 'opend'\nunit = 'z'\n";
    assert!(wrong(&format!("{CAP}{measure}")).contains("line 9: `opend` names `opend`"));
}

#[test]
fn a_case_that_is_predicted_but_not_there_is_refused() {
    let source = "question = 'x'\n[[case]]\nname = 'a'\n[[case]]\nname = 'b'\n\
                  [[predict]]\ncases = ['c']\nexpect.opened = 1\nbecause = 'y'\n";
    insta::assert_snapshot!(
        wrong(source),
        @"own.toml, line 6: there is no case `c`; there are `a`, `b`"
    );
    let twice = source.replace("'b'", "'a'").replace("'c'", "'a'");
    assert!(wrong(&twice).contains("two cases are called `a`"));
}

#[test]
fn only_what_speaks_of_the_network_needs_one_of_its_own() {
    let needs = |setting: &str, what: &str| {
        let source =
            format!("question = 'x'\n{setting}\n[[predict]]\nexpect.'{what}' = 1\nbecause = 'y'\n");
        read(&source).unwrap().trials[0].needs_private.clone()
    };
    assert_eq!(needs("", "opened"), None);
    assert_eq!(
        needs("network.tcp_tw_reuse = 0", "opened").as_deref(),
        Some("sets network.tcp_tw_reuse")
    );
    if cfg!(target_os = "linux") {
        assert!(needs("", "counter.TcpOutSegs / requests").is_some());
    }
    assert_eq!(needs("", "wire.syn").as_deref(), Some("hears every packet of its network"));
    assert_eq!(needs("", "packet.client.fin.seq"), needs("", "wire.syn"));
    assert_eq!(needs("", "wire.syn' = 1\nexpect.'opened"), None, "the rest is seen without");
}

#[test]
fn an_override_is_a_key_with_its_section_and_a_value() {
    let wrong = |text: &str| Override::parse(text).unwrap_err().to_string();
    insta::assert_snapshot!(wrong("per_host"), @"--set per_host: not of the form KEY=VALUE");
    insta::assert_snapshot!(
        wrong("per_host=1"),
        @"--set per_host=1: a key has its section, as in client.per_host"
    );
    assert!(wrong("client.per_hots=1").contains("expected one of `body`, `per_host`"));
    let delay = |text| Override::parse(text).unwrap().settings.server.delay.unwrap().0;
    assert_eq!(delay("server.delay=20ms"), delay(" server.delay = '20ms' "));
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_panic(source in "(question = 'x'\n)?\\PC{0,200}") {
        let _ = read(&source);
    }

    #[test]
    fn no_formula_makes_the_reader_panic(formula in "[-+*/%() a-z0-9._]{0,40}") {
        let source = format!(
            "question = 'x'\ntransports = ['go']\n[[predict]]\nexpect.opened = '{formula}'\nbecause = 'y'\n"
        );
        let _ = read(&source);
    }
}

/// [`CAP`] with a question.
fn asking(ask: &str) -> Result<Experiment, String> {
    read(
        &CAP.replace(
            "[[predict]]",
            &format!("[[ask]]\nquestion = 'How many?'\n{ask}\n[[predict]]"),
        ),
    )
}

#[test]
fn a_question_is_asked_once_a_case_of_its_first_transport() {
    let source = "question = 'x'\n[[case]]\nname = 'a'\n[[case]]\nname = 'b'\n\
                  transports = ['hyper-util']\n\
                  [[ask]]\nquestion = 'How many?'\nnumber = 'opened'\n\
                  [[ask]]\nquestion = 'And?'\nnumber = 'opened'\ntransports = ['go1.27']\n\
                  [[predict]]\nexpect.opened = 1\nbecause = 'y'\n";
    let experiment = read(source).unwrap();
    let asked: Vec<_> = experiment
        .questions
        .iter()
        .map(|question| {
            let trial = &experiment.trials[question.trial];
            (&*question.text, &*trial.case, trial.transport())
        })
        .collect();
    assert_eq!(
        asked,
        [("How many?", "a", "go"), ("How many?", "b", "hyper-util"), ("And?", "a", "go1.27")]
    );
}

#[test]
fn a_file_that_asks_nothing_asks_for_the_first_prediction_by_its_name() {
    let experiment = read(CAP).unwrap();
    assert_eq!(experiment.questions.len(), experiment.trials.len());
    insta::assert_snapshot!(
        experiment.questions[0].text,
        @"opened, connections that the client's trace saw established?"
    );
}

#[test]
fn a_question_that_nothing_answers_is_refused() {
    let wrong = |ask| asking(ask).unwrap_err();
    insta::assert_snapshot!(
        wrong("number = 'reused'"),
        @"own.toml, line 6: no `reused` is predicted of transport go"
    );
    insta::assert_snapshot!(
        wrong("choice = 'x'\nanswers.yes = { failed = 0 }\nanswers.no = { failed = '1 ..' }"),
        @"own.toml, line 6: none of its answers is predicted of transport go"
    );
    insta::assert_snapshot!(
        wrong("choice = 'x'\nanswers.yes = { opened = 82 }"),
        @"own.toml, line 6: a choice has two `answers` or more"
    );
    insta::assert_snapshot!(
        wrong("near = 0.1"),
        @"own.toml, line 6: a question asks for a `number` or for a `choice`"
    );
    insta::assert_snapshot!(
        wrong("number = 'opened'\nnear = 1.5"),
        @"own.toml, line 6: `near` is a share, such as 0.2, and less than 1"
    );
    insta::assert_snapshot!(
        wrong("number = 'opened'\ncases = ['a']"),
        @"own.toml, line 6: there is no case `a`, nor any"
    );
    assert!(
        wrong("choice = 'x'\nanswers.a = {opned = 1}\nanswers.b = {opened = 1}").contains("opned")
    );
    let source = format!(
        "transports = ['go']\n{CAP}[[ask]]\nquestion = 'x'\n\
                          number = 'opened'\ntransports = ['hyper-util']\n"
    );
    assert!(read(&source).unwrap_err().contains("this question is for no run"));
}
