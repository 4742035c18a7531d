//! `-h`, in our words.

/// What `--version` prints: the version whose behaviour this is.
pub const VERSION: &str = "ipvsadm v1.31 (evenkeel)\n";

/// What `-h` prints after the version.
pub const HELP: &str = "\
Usage: ipvsadm COMMAND [OPTION...]
Services:
  -A, --add-service SERVICE     Add; -E, --edit-service: change
        -s, --scheduler NAME    rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf [wlc]
        -p, --persistent [SEC]  Connections of a client stay with a server [360]
        -M, --netmask MASK      Clients that count as one
        --pe NAME               Persistence engine
        -b, --sched-flags LIST  sh-port, sh-fallback, mh-port, mh-fallback, flag-1, flag-2, flag-3
        -o, --ops               Each datagram by itself
  -D, --delete-service SERVICE  Remove
  -C, --clear                   Remove all
  SERVICE: -t HOST:PORT (TCP), -u HOST:PORT (UDP), --sctp-service HOST:PORT, -f MARK [-6]
Servers:
  -a, --add-server SERVICE -r HOST[:PORT]     Add; -e, --edit-server: change
        -g, -i, -m              Direct routing, tunnel, NAT [-g]
        -w, --weight N          Share [1]
        -x, -y                  Upper and lower threshold of connections
        --tun-type KIND         ipip, gue, gre; --tun-port PORT; --tun-nocsum, --tun-csum, --tun-remcsum
  -d, --delete-server SERVICE -r HOST[:PORT]  Remove
Table:
  -L, -l, --list [SERVICE]      Print
        -n, --numeric           Numbers instead of names
        --stats, --rate, --thresholds, --persistent-conn, --tun-info
        -c, --connection; --timeout; --daemon
        --exact, --nosort, --sort
  -S, --save [-n]               Print as commands; -R, --restore: carry such commands out from standard input
  -Z, --zero [SERVICE]          Set counters to zero
  --set TCP TCPFIN UDP          Set timeouts, in seconds
Synchronization of connections:
  --start-daemon master|backup, --stop-daemon master|backup
        --syncid N, --mcast-interface NAME, --mcast-group ADDRESS, --mcast-port PORT, --mcast-ttl N, --sync-maxlen N
";
