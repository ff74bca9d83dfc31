"""Writes the page about the passports of clients. Pure: passports in, Markdown out."""

import tomllib
from collections import defaultdict

# Where others have reported what a client does. Elsewhere none is named for what is forbidden.
REPORTS = {
    ("15-two-lengths", "curl"): "https://github.com/curl/curl/issues/18921",
    ("21-early-hints", "http.client"): "https://github.com/notatallshaw/nab/pull/1130",
    ("21-early-hints", "urllib3"): "https://github.com/notatallshaw/nab/pull/1130",
    ("22-unasked-100", "undici"): "https://github.com/nodejs/undici/pull/201",
    ("22-unasked-100", "Node's fetch"): "https://github.com/nodejs/undici/pull/201",
}
# The probes of the first table, and what stands at the head of their columns.
REPEATS = {
    "06-closed-meanwhile": "closed meanwhile",
    "08-no-answer-new": "no answer, new",
    "09-no-answer-used": "no answer, used",
}
SHORT = {
    "sent again on a new connection": "again",
    "sent again, and served twice": "**twice**",
    "gives up": "gives up",
    "did not use the connection again": "not used",
}
FORBIDDEN = "forbidden"


def page(root, clients, skipped):
    probes = [read(path) for path in sorted((root / "passport").glob("*.toml"))]
    text = (root / "scripts/passports.md.in").read_text()
    for name, made in {
        "CLIENTS": client_table(clients),
        "SKIPPED": "".join(f"- Not here, for it could not be had: {it}.\n" for it in skipped),
        "REPEATS": repeat_table(clients),
        "PROBES": "\n".join(probe_section(probe, clients) for probe in probes),
    }.items():
        text = text.replace(f"@{name}@", made.strip())
    return text


def read(path):
    return {"name": path.stem, **tomllib.loads(path.read_text())}


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def client_table(clients):
    def row(client):
        made = client["get"]
        command = f"`{client['command']}`"
        return [client["name"], client["version"], made["date"], made["kernel"], command]

    return table(["client", "version", "date", "Linux", "command"], map(row, clients))


def probe_of(passport, name):
    return next((it for it in passport["probes"] if it["name"] == name), None)


def repeat_table(clients):
    def cell(client, way, probe):
        found = probe_of(client[way], probe)
        kind, words = entry(found["entry"]) if found else ("not asked", "")
        return SHORT.get(words, words) if kind == "did" else kind

    def row(client):
        cells = [cell(client, way, probe) for probe in REPEATS for way in ("get", "post")]
        return [client["name"], *cells]

    heads = [f"{title}: {way}" for title in REPEATS.values() for way in ("GET", "POST")]
    return table(["client", *heads], map(row, clients))


def entry(it):
    """An entry of a passport: its kind, and its words."""
    if isinstance(it, str):
        return it, "something that the probe does not foresee"
    [(kind, what)] = it.items()
    if kind == "varies":
        counts = {words: what.count(words) for words in dict.fromkeys(what)}
        return kind, "; ".join(f"{count}x {words}" for words, count in counts.items())
    return kind, what


def probe_section(probe, clients):
    way = "post" if probe.get("body") else "get"
    forbidden = {it["words"] for it in probe["reading"] if it["law"] == FORBIDDEN}
    groups, skipped, hidden = defaultdict(list), [], False
    for client in clients:
        found = probe_of(client[way], probe["name"])
        if not found:
            continue
        kind, words = entry(found["entry"])
        name, report = client["name"], REPORTS.get((probe["name"], client["name"]))
        if kind == "skipped":
            skipped.append(name)
            continue
        if kind == "unread":
            words = f"*not read: {words}*"
        if kind == "varies" and any(it in words for it in forbidden):
            # What was not seen each time is no finding against anybody.
            words, name, hidden = "varies from run to run", None, True
        if found["law"] == FORBIDDEN:
            name, hidden = (f"[{name}]({report})", hidden) if report else (None, True)
        groups[kind != "did", words, found["law"] or "—"].append(name)
    names = lambda them: cell(them, hidden)
    rows = [
        [words, law, names(them)]
        for (_, words, law), them in sorted(groups.items(), key=lambda it: (it[0][0], -len(it[1])))
    ]
    if skipped:
        rows.append(["*not asked: it needs a pause*", "—", ", ".join(skipped)])
    head = f"### {probe['name']}\n\n{probe['question']}{' (A POST.)' if way == 'post' else ''}\n\n"
    law = f"{probe['standard']} ({probe['section']})\n\n"
    return head + law + table(["it did", "standard", "clients"], rows)


def cell(names, hidden):
    """The names of clients. Where one is left out the others are counted too, or it could be told
    from who is missing."""
    told = [name for name in names if name and (not hidden or name.startswith("["))]
    others = len(names) - len(told)
    if not others:
        return ", ".join(told)
    more = "1 client" if others == 1 else f"{others} clients"
    return ", ".join([*told, f"{more} more" if told else more])
