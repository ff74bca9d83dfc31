//! What the kernel is told to let through: a program of the classic BPF, over bytes that begin at the
//! IP header (`linux/filter.h`, `networking/filter.rst`).
//!
//! No conditional jump in it leads far: a jump's length is one byte.

use socket2::SockFilter;

/// The most steps that the kernel takes (`BPF_MAXINSNS`).
const MOST_STEPS: usize = 4096;
/// Enough for any packet.
const WHOLE: u32 = 0x0004_0000;

/// `SKF_AD_OFF`: loads from here on tell what is not among a packet's bytes.
const ABOUT: u32 = 0xffff_f000;
const PROTOCOL: u32 = ABOUT;
const PACKET_TYPE: u32 = ABOUT + 4;
const INTERFACE: u32 = ABOUT + 8;

/// `LOOPBACK_IFINDEX`: in every network, the loopback interface is the first.
pub(crate) const LOOPBACK: u32 = 1;

/// `PACKET_OUTGOING`: the copy that is heard when a packet leaves.
pub(crate) const OUTGOING: u8 = 4;

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
/// A half word behind the header whose length is in the index register.
const LOAD_HALF_BEHIND: u16 = 0x48;
/// Four times the lower half of a byte, into the index register: the length of an IPv4 header.
const HEADER_LEN: u16 = 0xb1;
/// The number itself.
const LOAD_NUMBER: u16 = 0x00;
/// Into the scratch memory, and from there into the index register.
const STORE: u16 = 0x02;
const LOAD_INDEX: u16 = 0x61;
const ADD_INDEX: u16 = 0x0c;
const SHIFT_RIGHT: u16 = 0x74;
const REMAINDER: u16 = 0x94;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const TCP: u32 = 6;

/// The most ports that can be asked for: two steps each, at each end, in IPv4 and IPv6.
pub(crate) const MOST_PORTS: usize = (MOST_STEPS - 64) / 8;

/// Lets nothing through.
pub(crate) fn nothing() -> Vec<SockFilter> {
    vec![step(RETURN, 0)]
}

/// The part of all packets that one of several sockets hears: the connections whose ports come to its
/// number, so that both directions of one are heard by the same. The first hears what has no ports,
/// too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PacketShare {
    /// The number of the socket, from 0.
    pub(crate) number: u32,
    /// How many sockets there are.
    pub(crate) of: usize,
}

/// Lets packets of one interface through, or of all; of the loopback interface, on which all are
/// heard twice, those that leave; of these the `share`. If there are `ports`, only TCP that has one of
/// them at either end.
pub(crate) fn packets_of(
    interface: Option<u32>,
    ports: &[u16],
    share: PacketShare,
) -> Vec<SockFilter> {
    let mut program = Vec::new();
    match interface {
        Some(interface) => {
            require(&mut program, step(LOAD_WORD, INTERFACE), interface);
            if interface == LOOPBACK {
                require(&mut program, step(LOAD_WORD, PACKET_TYPE), u32::from(OUTGOING));
            }
        }
        None => {
            program.push(step(LOAD_WORD, INTERFACE));
            program.push(jump(JUMP_EQUAL, LOOPBACK, 0, 3));
            require(&mut program, step(LOAD_WORD, PACKET_TYPE), u32::from(OUTGOING));
        }
    }
    if share.of > 1 {
        program.extend(of_share(share));
    }
    if !ports.is_empty() {
        let (ipv4, ipv6) = (ports_of_ipv4(ports), ports_of_ipv6(ports));
        program.push(step(LOAD_WORD, PROTOCOL));
        program.push(jump(JUMP_EQUAL, IPV4, 1, 0));
        program.push(step(JUMP, u32::try_from(ipv4.len()).unwrap_or(u32::MAX)));
        program.extend(ipv4);
        require(&mut program, step(LOAD_WORD, PROTOCOL), IPV6);
        program.extend(ipv6);
        program.push(step(RETURN, 0));
    } else {
        program.push(step(RETURN, WHOLE));
    }
    program
}

/// Ends with nothing unless the packet belongs to the share.
fn of_share(share: PacketShare) -> [SockFilter; 26] {
    let of = u32::try_from(share.of).unwrap_or(u32::MAX);
    [
        step(LOAD_WORD, PROTOCOL),
        jump(JUMP_EQUAL, IPV4, 0, 9),
        // IPv4: both ports, unless it is a fragment other than the first.
        step(LOAD_BYTE, 9),
        jump(JUMP_EQUAL, TCP, 0, 14),
        step(LOAD_HALF, 6),
        jump(JUMP_ANY_BIT, 0x1fff, 12, 0),
        step(HEADER_LEN, 0),
        step(LOAD_HALF_BEHIND, 0),
        step(STORE, 0),
        step(LOAD_HALF_BEHIND, 2),
        step(JUMP, 9),
        // IPv6: the same.
        jump(JUMP_EQUAL, IPV6, 0, 6),
        step(LOAD_BYTE, 6),
        jump(JUMP_EQUAL, TCP, 0, 4),
        step(LOAD_HALF, 40),
        step(STORE, 0),
        step(LOAD_HALF, 42),
        step(JUMP, 2),
        // Neither: the first socket's.
        step(LOAD_NUMBER, 0),
        step(JUMP, 4),
        // The sum of the ports. A client's are often all even, or all odd.
        step(LOAD_INDEX, 0),
        step(ADD_INDEX, 0),
        step(SHIFT_RIGHT, 1),
        step(REMAINDER, of),
        jump(JUMP_EQUAL, share.number, 1, 0),
        step(RETURN, 0),
    ]
}

fn ports_of_ipv4(ports: &[u16]) -> Vec<SockFilter> {
    let mut program = Vec::new();
    require(&mut program, step(LOAD_BYTE, 9), TCP);
    // A fragment other than the first has no ports.
    program.push(step(LOAD_HALF, 6));
    program.push(jump(JUMP_ANY_BIT, 0x1fff, 0, 1));
    program.push(step(RETURN, 0));
    program.push(step(HEADER_LEN, 0));
    for end in [0, 2] {
        accept(&mut program, step(LOAD_HALF_BEHIND, end), ports);
    }
    program.push(step(RETURN, 0));
    program
}

fn ports_of_ipv6(ports: &[u16]) -> Vec<SockFilter> {
    let mut program = Vec::new();
    require(&mut program, step(LOAD_BYTE, 6), TCP);
    for end in [40, 42] {
        accept(&mut program, step(LOAD_HALF, end), ports);
    }
    program
}

/// Ends with nothing unless what `load` loads is `value`.
fn require(program: &mut Vec<SockFilter>, load: SockFilter, value: u32) {
    program.extend([load, jump(JUMP_EQUAL, value, 1, 0), step(RETURN, 0)]);
}

/// Ends with the whole packet if what `load` loads is one of `ports`.
fn accept(program: &mut Vec<SockFilter>, load: SockFilter, ports: &[u16]) {
    program.push(load);
    for port in ports {
        program.extend([jump(JUMP_EQUAL, u32::from(*port), 0, 1), step(RETURN, WHOLE)]);
    }
}

fn step(code: u16, value: u32) -> SockFilter {
    SockFilter::new(code, 0, 0, value)
}

fn jump(code: u16, value: u32, if_true: u8, if_false: u8) -> SockFilter {
    SockFilter::new(code, if_true, if_false, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_list_of_ports_makes_a_program_that_the_kernel_takes() {
        let ports: Vec<u16> = (0..).take(MOST_PORTS).collect();
        let share = PacketShare { number: 0, of: 16 };
        assert!(packets_of(None, &ports, share).len() <= MOST_STEPS);
    }
}
