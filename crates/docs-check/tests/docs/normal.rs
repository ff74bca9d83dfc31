//! What is the same in every run. The rest is replaced by a word in capitals.

/// The heading of a table in which every number was measured.
const MEASURED: &str = "measured, not predicted";

/// `lines`, each as [`normal`] has it, and without the numbers of tables that are all measured.
pub(crate) fn normal_lines(lines: &[String]) -> Vec<String> {
    let mut measured = false;
    let line = |line: &String| {
        measured = !line.is_empty() && (measured || line.trim() == MEASURED);
        let words = normal(line);
        let number = |word: &str| if is_number(word) { "NUMBER".into() } else { word.to_owned() };
        if measured { words.split(' ').map(number).collect::<Vec<_>>().join(" ") } else { words }
    };
    lines.iter().map(line).collect()
}

/// `line` with one word for whatever the kernel, the clock or the column widths decide:
///
/// - the port after `127.0.0.1:`, and the one in the PORT column;
/// - every time, such as `0.31 ms`, `59.8 s`, `0.052s`, or a JSON number whose key says so;
/// - process ids;
/// - what was observed beside a predicted range, and any number with a decimal point;
/// - the bars of a chart, and their numbers; the bars of a trace;
/// - how many spaces stand between two words.
pub(crate) fn normal(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut normal: Vec<String> = Vec::new();
    let mut index = 0;
    while index < words.len() {
        let word = words[index];
        let before = if index == 0 { "" } else { words[index - 1] };
        let next = words.get(index + 1).map(|next| split_punctuation(next));
        if let Some(("ms" | "s", punctuation)) = next
            && is_number(word)
        {
            normal.push(format!("TIME{punctuation}"));
            index += 2;
            continue;
        }
        if let (Some(("ms" | "s", punctuation)), Some((key, number))) = (next, word.split_once('='))
            && is_number(number)
        {
            normal.push(format!("{key}=TIME{punctuation}"));
            index += 2;
            continue;
        }
        normal.push(match split_punctuation(word) {
            (number, end) if is_number(number) && is_time_key(before) => format!("TIME{end}"),
            _ if is_moment(word) => "TIME".into(),
            _ if is_port(word) && matches!(before, "new" | "reused") => "PORT".into(),
            _ if is_pid(before, word) => "PID".into(),
            _ if is_bar(word) || is_phases(word) => "BAR".into(),
            _ if is_number(word) && (word.contains('.') || is_bar(before)) => "NUMBER".into(),
            _ if is_number(word) && ends_a_range(&words[..index]) => "NUMBER".into(),
            _ => without_port(word),
        });
        index += 1;
    }
    normal.join(" ")
}

fn split_punctuation(word: &str) -> (&str, &str) {
    word.split_at(word.trim_end_matches([',', ';', '.', ':', ')']).len())
}

/// `59`, `0.31`.
fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && word.parse::<f64>().is_ok()
}

/// `0.052s`, but not `1s`: that is a setting.
fn is_moment(word: &str) -> bool {
    word.strip_suffix('s').is_some_and(|number| number.contains('.') && is_number(number))
}

/// `"elapsed_us":`
fn is_time_key(word: &str) -> bool {
    word.ends_with("_us\":") || word.ends_with("_ms\":")
}

fn is_bar(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c == '█')
}

/// `ddccrrwwwb`: the phases of a request, a letter for each bit of time.
fn is_phases(word: &str) -> bool {
    let places: Option<Vec<usize>> = word.chars().map(|c| "Rsdctrewb.".find(c)).collect();
    let has_letters = word.contains(|c| c != '.'); // three dots stand for lines
    word.len() >= 3 && has_letters && places.is_some_and(|places| places.is_sorted())
}

/// `2 to 82`, after which comes what was observed.
fn ends_a_range(words: &[&str]) -> bool {
    matches!(words, [.., least, "to", most] if is_number(least) && is_number(most))
}

fn is_port(word: &str) -> bool {
    word.parse::<u16>().is_ok_and(|port| port >= 1024)
}

/// `hello (28981)`, `(pid 28981)`.
fn is_pid(before: &str, word: &str) -> bool {
    let digits = word.trim_matches(['(', ')', ':', ',']);
    let is_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_digits && (before.ends_with("pid") || (word.starts_with('(') && word.contains(')')))
}

/// `http://127.0.0.1:PORT/`, `localhost:PORT`
fn without_port(word: &str) -> String {
    for loopback in ["127.0.0.1:", "localhost:"] {
        if let Some(at) = word.find(loopback) {
            let (address, rest) = word.split_at(at + loopback.len());
            return format!(
                "{address}PORT{}",
                rest.trim_start_matches(|c: char| c.is_ascii_digit())
            );
        }
    }
    word.to_owned()
}

#[test]
fn what_varies_is_replaced_and_nothing_else() {
    for (line, expected) in [
        ("  10   0.470s  #10 new    34134        —  0.75 ms", "10 TIME #10 new PORT — TIME"),
        (
            "   2  0.052s  #1 reused 39592  50.9 ms  0.40 ms  11 B",
            "2 TIME #1 reused PORT TIME TIME 11 B",
        ),
        ("at http://127.0.0.1:44951/", "at http://127.0.0.1:PORT/"),
        ("TIME_WAIT  timewait 59.9 s  —", "TIME_WAIT timewait TIME —"),
        ("for 60 s more by", "for TIME more by"),
        ("transport closed; age 81.1 ms, 2 exchanges", "transport closed; age TIME, 2 exchanges"),
        ("hello (28981)", "hello PID"),
        ("in use by hello (pid 28981):", "in use by hello (pid PID"),
        ("\"elapsed_us\": 920,", "\"elapsed_us\": TIME,"),
        ("client ESTABLISHED 2 · TIME_WAIT 80", "client ESTABLISHED 2 · TIME_WAIT 80"),
        ("64 KiB  go  after  0 to 10  7  yes", "64 KiB go after 0 to 10 NUMBER yes"),
        (
            "timer go closed_after 0.5 to 0.75 0.502 yes",
            "timer go closed_after NUMBER to NUMBER NUMBER yes",
        ),
        ("  cap 1   ███████ 91", "cap 1 BAR NUMBER"),
        ("  #1   1  dddccrwwwb", "#1 1 BAR"),
        ("  #1   1  RRdccreewwbb....", "#1 1 BAR"),
        ("...", "..."),
        ("GetConn localhost:46779", "GetConn localhost:PORT"),
        ("was_idle=true idle_time=0.45 ms", "was_idle=true idle_time=TIME"),
        ("82 connections = 10 + 9 x (10 - 2)", "82 connections = 10 + 9 x (10 - 2)"),
        ("10 requests, 50ms apart; each for 1m 30s", "10 requests, 50ms apart; each for 1m 30s"),
    ] {
        assert_eq!(normal(line), expected);
    }
}

#[test]
fn a_table_of_measures_is_compared_without_its_numbers() {
    let page = ["  measured, not predicted", "  1 user  go  85", "", "  1 user  go  85"];
    let page: Vec<String> = page.map(str::to_owned).to_vec();
    let expected = ["measured, not predicted", "NUMBER user go NUMBER", "", "1 user go 85"];
    assert_eq!(normal_lines(&page), expected);
}
