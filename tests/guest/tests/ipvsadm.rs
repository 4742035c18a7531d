//! evenkeel called as `ipvsadm`, beside Debian's: the same words, the same answers.
#![allow(missing_docs, clippy::unwrap_used)]

use evenkeel_guest::{in_fresh_namespace, output, run, run_with};
use evenkeel_kernel::netns::NetNs;

const THEIRS: &str = "ipvsadm";
const OURS: &str = "/evenkeel/ipvsadm";

/// Ways to look at the table.
const VIEWS: &[&str] = &[
    "",
    "-Ln",
    "-L",
    "-Ln --stats",
    "-Ln --stats --exact",
    "-Ln --rate",
    "-Ln --thresholds",
    "-L --persistent-conn",
    "-Ln --tun-info",
    "-Ln --nosort",
    "-Lnc",
    "-L -c --persistent-conn",
    "-L --timeout",
    "-L --daemon",
    "-S",
    "-Sn",
];

/// Carries the lines out with both programs, each in a namespace of its own, and compares every answer. Then the two
/// namespaces must hold the same, and `views` of one must look the same in both programs.
fn same(lines: &[&str], views: &[&str]) {
    in_fresh_namespace(|| {
        let namespaces = [(THEIRS, NetNs::create().unwrap()), (OURS, NetNs::create().unwrap())];
        let dummy = ["ip link add d0 type dummy", "ip address add 10.9.0.1/24 dev d0", "ip link set d0 up"];
        let in_both = |line: &str| {
            namespaces
                .each_ref()
                .map(|(program, namespace)| namespace.run(|| run(&format!("{program} {line}"))).unwrap())
        };
        for (_, namespace) in &namespaces {
            namespace.run(|| dummy.map(output)).unwrap();
        }
        let mut differences = Vec::new();
        for line in lines {
            let said = in_both(line);
            if said[0] != said[1] {
                differences.push(format!("ipvsadm {line}\n  theirs: {:?}\n  ours:   {:?}", said[0], said[1]));
            }
        }
        let held = namespaces.each_ref().map(|(_, namespace)| {
            let text = namespace.run(|| output("ipvsadm -Sn")).unwrap();
            // The kernel's order differs from one namespace to the next, and the sorting depends on it.
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        });
        assert_eq!(held[0], held[1]);
        for view in views {
            let [theirs, ours] =
                [THEIRS, OURS].map(|program| namespaces[1].1.run(|| run(&format!("{program} {view}"))).unwrap());
            if theirs != ours {
                differences.push(format!(
                    "ipvsadm {view}\n--- theirs: {}\n{}{}--- ours: {}\n{}{}",
                    theirs.status, theirs.stdout, theirs.stderr, ours.status, ours.stdout, ours.stderr
                ));
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    });
}

#[test]
fn services_and_servers_are_edited_and_listed_alike() {
    same(
        &[
            "-A -t 10.0.0.1:80 -p 120 -s rr",
            "-A -t 10.0.0.1:80",
            "-E -t 10.0.0.1:80 -s wlc -p 60 -M 255.255.255.0",
            "-A -t 10.0.0.6 -p",
            "-A -u 10.0.0.6:53 -o",
            "-A -u 10.0.0.7:5060 -p 9 -M 255.255.0.0 --pe sip -o -s sh -b sh-port,sh-fallback",
            "-A --sctp-service 10.0.0.6:99 -s mh -b mh-port,mh-fallback,flag-3",
            "-A --sctp-service 10.0.0.6:97 -s rr -b flag-3,flag-1",
            "-A -t 10.0.0.7:84 --pe sip",
            "-A -f 7",
            "-A -f 8 -6 -s sed",
            "-A -t [fd00::1]:80 -s wrr",
            "-A -t fd00::2 -p 300 -M 64",
            "-A -t [fd00::aa]:443 -s nq",
            "-A -t virtual.example:http -s dh",
            "-a -t 10.0.0.1:80 -r 10.1.0.1",
            "-a -t 10.0.0.1:80 -r 10.1.0.1",
            "-a -t 10.0.0.1:80 -r virtual.example:https -m -w 5",
            "-a -t 10.0.0.1:80 -r 10.1.0.3:8080 -m -w 0 -x 100 -y 50",
            "-a -t 10.0.0.1:80 -r 10.1.0.4:8080 -g -w 2147483647",
            "-a -t 10.0.0.1:80 -r 10.1.0.5 -i",
            "-a -t 10.0.0.1:80 -r 10.1.0.6 -i --tun-type gue --tun-port 6080",
            "-a -t 10.0.0.1:80 -r 10.1.0.7 -i --tun-type gue --tun-port 6080 --tun-remcsum",
            "-a -t 10.0.0.1:80 -r 10.1.0.9 -i --tun-type gre --tun-csum",
            "-a -t 10.0.0.1:80 -r [fd00::99]:80 -i",
            "-a -t [fd00::1]:80 -r [2001:db8:1234:5678:1234:5678:1234:5678]:8080 -m -w 100000",
            "-a -t [fd00::1]:80 -r [fd00::aa]:80 -m",
            "-a -f 7 -r 10.2.0.1 -g",
            "-a -f 7 -r 10.2.0.2:99 -m",
            "-a -f 8 -6 -r [fd00::13]:80 -m",
            "-a -t 10.0.0.1:99 -r 10.1.0.2:80",
            "-e -t 10.0.0.1:80 -r 10.1.0.99:80",
            "-e -t 10.0.0.1:80 -r 10.1.0.1 -w 7",
            "-d -t 10.0.0.1:80 -r 10.1.0.99:80",
            "-a -t 10.0.0.1:80 -r 10.1.0.24:80 -y 70000",
            "-a -t 10.0.0.1:80 -r 224.0.0.2",
            "-Ln -t 10.0.0.1:80",
            "-Ln -t 10.0.0.1:99",
            "-Ln -f 8",
            "-Ln -f 8 -6",
            "-Z",
            "-Z -t 10.0.0.1:80",
            "-Z -t 10.0.0.1:99",
            "-D -t 10.0.0.1:99",
            "-D -t 10.0.0.6:0",
            "-E -t 10.0.0.99:8080 -s rr",
            "-A -t 10.0.0.7:84 -s nonsense",
            "--set 100 200 300",
            "--set 0 0 5",
        ],
        VIEWS,
    );
}

#[test]
fn addresses_are_sorted_alike_however_odd_that_is() {
    let hosts = ["10.0.0.1:80", "10.0.0.1:443", "9.0.0.1:80", "200.0.0.1:80", "100.0.0.1:80"];
    let hosts_6 = [
        "[fd00::1]:80",
        "[2001:db8::1]:80",
        "[2001:db8::2]:80",
        "[2001:db9::1]:80",
        "[fe00::1]:90",
        "[1::9]:5",
        "[a::7:0:8]:4",
    ];
    let mut lines = Vec::new();
    for host in hosts.iter().chain(&hosts_6) {
        lines.push(format!("-A -t {host} -s rr"));
        lines.push(format!("-A -u {host} -s rr"));
        lines.push(format!("-a -t 10.0.0.1:80 -r {host} -i"));
    }
    lines.extend(hosts_6.map(|host| format!("-a -t [fd00::1]:80 -r {host} -m")));
    lines.extend(["-A -f 5", "-A -f 5 -6", "-A -f 4 -6", "-A -f 2000000000"].map(str::to_owned));
    same(&lines.iter().map(String::as_str).collect::<Vec<_>>(), &["-Ln", "-Sn", "-Ln --nosort"]);
}

#[test]
fn sync_daemons_are_started_and_listed_alike() {
    same(
        &[
            "--start-daemon master --mcast-interface d0",
            "--start-daemon master --mcast-interface d0",
            "-L --daemon",
            "--start-daemon backup --mcast-interface d0 --syncid 7 --sync-maxlen 1300 --mcast-group 224.0.0.99 --mcast-port 9999 --mcast-ttl 3",
            "-Ln --daemon",
            "--stop-daemon master",
            "--stop-daemon backup",
            "--stop-daemon backup",
            "--start-daemon master",
            "--start-daemon master --mcast-interface lo",
            "--start-daemon backup --mcast-interface d0 --mcast-group ff02::99",
        ],
        &["-L --daemon"],
    );
}

#[test]
fn mistakes_are_answered_alike() {
    same(
        &[
            "-A -t 10.0.0.6:0",
            "-A -t 10.0.0.6:53 -o",
            "-A --sctp-service 10.0.0.6:53 -o",
            "-A -u 10.0.0.36:0 -o",
            "-A -t 10.0.0.7:82 -s mh -b sh-port",
            "-A -t 10.0.0.7:84 -s rr -b nonsense",
            "-A -6 -f 9 -s rr -p 10 -M 64",
            "-D -t 10.0.0.7:80 -6",
            "-A -f 0",
            "-A -f 99999999999",
            "-A -t [fd00::3]:80 -M 129",
            "-A -t 10.0.0.35:80 -M abc -p 5",
            "-A -t 10.0.0.34:80 -M 16 -p 5",
            "-A -t [::1] -p",
            "-A -t [fd00::8 -p",
            "-A -t 10.0.0.300:80",
            "-A -t 10.0.0.3:99999",
            "-A -t 10.0.0.3:nonsense",
            "-A -t nosuch.example:80",
            "-a -t 10.0.0.1:80 -r 10.1.0.6 -i --tun-type gue",
            "-a -t 10.0.0.1:80 -r 10.1.0.10 -i --tun-type gre --tun-remcsum",
            "-a -t 10.0.0.1:80 -r 10.1.0.10 -i --tun-type gre --tun-port 5",
            "-a -t 10.0.0.1:80 -r 10.1.0.10 -i --tun-type ipip --tun-csum",
            "-a -t 10.0.0.1:80 -r 10.1.0.10 -m --tun-type gre",
            "-a -t 10.0.0.1:80 -r 10.1.0.11 -i --tun-type foo",
            "-a -t 10.0.0.1:80 -r 10.1.0.11 -i --tun-csum --tun-nocsum --tun-type gre",
            "-a -t 10.0.0.1:80 -r 10.1.0.11 -m -g",
            "-a -t 10.0.0.1:80 -r [fd00::98]:80 -m",
            "-a -f 8 -6 -r [fd00::12] -m",
            "-a -t 10.0.0.1:80 -r 10.1.0.20:80 -w -1",
            "-a -t 10.0.0.1:80 -r 10.1.0.20:80 -w 0x10",
            "-a -t 10.0.0.1:80 -r 10.1.0.20:80 -x -1",
            "-a -t 10.0.0.1:80 -r 10.1.0.20:80 -y x",
            "-d -t 10.0.0.1:80",
            "-D",
            "-L -c --stats",
            "-L --timeout --thresholds",
            "-L --timeout --persistent-conn",
            "-L --daemon --tun-info",
            "-L --daemon --persistent-conn",
            "-Ln --timeout --daemon",
            "-L --daemon -c",
            "-L --timeout -t 10.0.0.7:80",
            "-L -r 10.0.0.3",
            "-L extra",
            "-L -- -n",
            "-L --help",
            "-Ln -m",
            "-Lnn",
            "-S --nosort",
            "-S -t 10.0.0.7:80",
            "-C -n",
            "-C extra",
            "-Z -n",
            "-R -n",
            "-R extra",
            "-A -D -t 10.0.0.1:80",
            "-A -s rr",
            "-A -t",
            "-A -t 10.0.0.1:80 -u 10.0.0.2:80",
            "-A -t 10.0.0.77:80 -p 0",
            "-A -t 10.0.0.77:80 -p -5",
            "-A -t 10.0.0.77:80 -p 2678401",
            "-A --tcp-service=10.0.0.7:80 --sched rr",
            "--set 1 2",
            "--set 1 2 3 4",
            "--set a b c",
            "--set 1 2 3 -n",
            "--set -1 2 3",
            "--start-daemon",
            "--start-daemon nothing",
            "--stop-daemon nothing",
            "--start-daemon master --syncid 256",
            "--start-daemon master --mcast-ttl 0",
            "--start-daemon master --mcast-port 70000",
            "--start-daemon master --sync-maxlen 65535",
            "--start-daemon master --mcast-group nothing",
            "--start-daemon master --mcast-group fd00::1",
            "--start-daemon master --mcast-group 10.0.0.1",
            "--stop-daemon master --mcast-interface d0",
            "-t 10.0.0.1:80",
            "-p 3 -A -t 10.0.0.77:81",
            "-6 -Ln",
            "-X",
            "--nonsense",
            "10.0.0.1",
            "-",
            "--",
        ],
        &[],
    );
}

/// What was saved by one is restored by the other, and saved again is the same.
#[test]
fn a_saved_table_is_restored_by_either() {
    let table = "\
-A -t 10.0.0.1:80 -s wlc -p 60 -M 255.255.255.0
-a -t 10.0.0.1:80 -r 10.1.0.2:8080 -m -w 7
-a -t 10.0.0.1:80 -r 10.1.0.7:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum
-A -u 10.0.0.1:53 -s sh -o -b sh-port
-A -t [fd00::1]:80 -s mh -b mh-fallback
-a -t [fd00::1]:80 -r [fd00::2]:80 -g -w 1
-A -f 7 -s rr
-a -f 7 -r 10.1.0.1:0 -g -w 1
";
    for (restores, saves) in [(THEIRS, OURS), (OURS, THEIRS), (OURS, OURS)] {
        in_fresh_namespace(|| {
            let said = run_with(&format!("{restores} -R"), table);
            assert!(said.status == 0 && said.stderr.is_empty(), "{restores}: {said:?}");
            let mut saved = String::new();
            for line in output(&format!("{saves} -Sn")).lines() {
                saved += line.trim_end();
                saved += "\n";
            }
            let mut sorted: [Vec<&str>; 2] = [table.lines().collect(), saved.lines().collect()];
            sorted.iter_mut().for_each(|lines| lines.sort_unstable());
            assert_eq!(sorted[0], sorted[1], "restored by {restores}, saved by {saves}");
        });
    }
}

#[test]
fn a_list_of_commands_stops_where_ipvsadm_stops() {
    for input in [
        "-A -t 10.8.0.1:80 -s rr",
        "   ipvsadm   -A -t   10.8.0.2:80 -s rr   \n# c\n-A -t 10.8.0.3:80 -s rr\n",
        "/sbin/ipvsadm -A -t 10.8.0.3:80 -s rr\n",
        "\n\n-A -t 10.8.0.4:80 -s rr\n",
        "-A -t 10.8.0.5:80 -s rr\n-A -t 10.8.0.5:80 -s rr\n-A -t 10.8.0.6:80 -s rr\n",
        "-A -t 10.8.0.8:80 -s\n-A -t 10.8.0.7:80 -s rr\n",
        "-A -t 10.8.0.8:0\n-A -t 10.8.0.7:80 -s rr\n",
        "-R\n-A -t 10.8.0.9:80 -s rr\n",
    ] {
        let [theirs, ours] = [THEIRS, OURS].map(|program| {
            let mut answers = None;
            in_fresh_namespace(|| answers = Some((run_with(&format!("{program} -R"), input), output("ipvsadm -Sn"))));
            answers.unwrap()
        });
        assert_eq!(theirs, ours, "{input}");
    }
}

#[test]
fn the_command_table_prints_what_ipvsadm_prints() {
    in_fresh_namespace(|| {
        output("ipvsadm -A -t 10.0.0.1:80 -s rr -p 50");
        output("ipvsadm -a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 3 -x 9");
        for options in [
            "-n",
            "",
            "--stats",
            "--rate -n",
            "--thresholds",
            "--persistent-conn",
            "--tun-info",
            "-c",
            "--timeout",
            "--daemon",
        ] {
            assert_eq!(
                output(&format!("evenkeel table {options}")),
                output(&format!("ipvsadm -L {options}")),
                "{options}"
            );
        }
        let json = output("evenkeel table --json");
        for part in ["\"address\": \"10.0.0.1\"", "\"weight\": 3", "\"method\": \"nat\"", "\"timeout\": 50"] {
            assert!(json.contains(part), "{part} is not in\n{json}");
        }
    });
}
