//! What a kernel of the year 2026 (Linux 6.18, x86-64) wrote: `page.bin` is a page of
//! `trace_pipe_raw`, `format.txt` the layout that it told.

use proptest::prelude::*;

use super::*;
use crate::trace::linux::page::page;

const FORMAT: &str = include_str!("format.txt");

#[cfg(all(target_endian = "little", target_pointer_width = "64"))]
#[test]
fn a_page_of_the_kernel_is_read_to_its_last_change() {
    let layout = ChangeLayout::read(FORMAT).unwrap();
    let page = page(include_bytes!("page.bin")).unwrap();
    assert!(!page.missed);
    let changes: Vec<String> = page
        .records
        .iter()
        .map(|(time, record)| {
            let change = layout.change(*time, record).unwrap();
            let StateChange { local, peer, old, new, .. } = change;
            format!("{:>6} us  {local} {peer} {old} {new}", time.as_micros() - 28_664_918_000)
        })
        .collect();
    insta::assert_snapshot!(changes.join("\n"), @r"
    1329192 us  127.0.0.1:18999 0.0.0.0:0 CLOSED LISTEN
    1331594 us  127.0.0.1:0 127.0.0.1:18999 CLOSED SYN_SENT
    1331648 us  127.0.0.1:43190 127.0.0.1:18999 SYN_SENT ESTABLISHED
    1331655 us  127.0.0.1:18999 127.0.0.1:43190 LISTEN SYN_RECV
    1331660 us  127.0.0.1:18999 127.0.0.1:43190 SYN_RECV ESTABLISHED
    1331681 us  [::1]:18999 [::]:0 CLOSED LISTEN
    1331702 us  127.0.0.1:43190 127.0.0.1:18999 ESTABLISHED CLOSED
    1331705 us  127.0.0.1:18999 127.0.0.1:43190 ESTABLISHED CLOSED
    1333621 us  127.0.0.1:18999 0.0.0.0:0 LISTEN CLOSED
    1333650 us  [::1]:18999 [::]:0 LISTEN CLOSED
    ");
}

#[test]
fn the_first_change_of_a_client_has_no_port_but_the_address_of_its_socket() {
    let layout = ChangeLayout::read(FORMAT).unwrap();
    let page = page(include_bytes!("page.bin")).unwrap();
    let of_client: Vec<StateChange> = page
        .records
        .iter()
        .filter_map(|(time, record)| layout.change(*time, record))
        .filter(|change| change.peer.port() == 18999)
        .collect();
    assert_eq!(of_client[0].local.port(), 0);
    assert_ne!(of_client[1].local.port(), 0);
    assert_eq!(of_client[0].kernel_address, of_client[1].kernel_address);
}

#[test]
fn a_layout_without_a_field_is_no_layout() {
    for name in ["skaddr", "oldstate", "sport", "daddr_v6", "ID:"] {
        assert_eq!(ChangeLayout::read(&FORMAT.replace(name, "other")), None, "{name}");
    }
}

proptest! {
    #[test]
    fn no_record_upsets_the_reader(
        mut record in prop::collection::vec(any::<u8>(), 0..120),
        ours in any::<bool>(),
    ) {
        let layout = ChangeLayout::read(FORMAT).unwrap();
        if let (true, Some(id)) = (ours, record.first_chunk_mut()) {
            *id = layout.id.to_ne_bytes();
        }
        layout.change(Duration::ZERO, &record);
    }

    #[test]
    fn a_page_with_any_byte_changed_upsets_nobody(at in 0_usize..776, to in any::<u8>()) {
        let layout = ChangeLayout::read(FORMAT).unwrap();
        let mut bytes = include_bytes!("page.bin").to_vec();
        bytes[at] = to;
        if let Some(page) = page(&bytes) {
            for (time, record) in page.records {
                layout.change(time, record);
            }
        }
    }

    #[test]
    fn no_text_upsets_the_reader_of_layouts(text in ".{0,80}", at in 0_usize..1000) {
        ChangeLayout::read(&text);
        let cut: String = FORMAT.chars().take(at).chain(text.chars()).collect();
        ChangeLayout::read(&cut);
    }
}
