set -u;umask 077
PATH=${PATH:-/bin}:/usr/bin:/bin:/usr/sbin:/sbin
n=@NONCE@
say(){ printf '\nLTB1 %s %s\n' $n "$*";}
die(){ say fail "$@";exit 97;}
mine(){ [ -d "$1" ]&&[ ! -L "$1" ]&&[ -O "$1" ];}
sum(){ { openssl dgst -sha256 -r||sha256sum||shasum -a 256||sha256 -q;}<"$1" 2>/dev/null|cut -d' ' -f1;}
a="$(uname -s) $(uname -m)";say hi $a
case $a in
@TABLE@
*)die arch $a;;esac
u=$(id -u);w=;ok=;x=;t=
trap 'rm -f "$x" "$t"' EXIT;trap 'exit 97' HUP INT PIPE TERM
for b in "${LT_CACHE:-}" "${XDG_CACHE_HOME:-}" "${HOME:+$HOME/.cache}" /var/tmp/lt-$u /tmp/lt-$u /dev/shm/lt-$u;do
case $b in /*);;*)continue;;esac
mkdir -p "$b" 2>/dev/null||{ w="$w, $b cannot be made";continue;}
case $b in */lt-$u)mine "$b"&&chmod 700 "$b";;*)b=$(cd "$b"&&pwd -P)&&mine "$b";;esac||{ w="$w, $b is not ours";continue;}
case $(ls -ld "$b") in d???????w*)w="$w, $b is open to all";continue;;esac
d=$b/lt/agents;mkdir "$b/lt" "$d" 2>/dev/null
mine "$b/lt"&&mine "$d"&&chmod 700 "$b/lt" "$d"||{ w="$w, $b cannot be written";continue;}
x=$d/.x$n;{ printf '#!/bin/sh\nexit 42\n'>"$x"&&chmod 700 "$x";} 2>/dev/null||{ rm -f "$x";w="$w, $b cannot be written";continue;}
"$x" 2>/dev/null;r=$?;rm -f "$x"
[ $r = 42 ]||{ w="$w, $b runs no programs";continue;}
f=$d/$h
if [ ! -f "$f" ];then k=$(df -Pk "$d" 2>/dev/null|awk 'NR==2{print $4}')
case $k in *[!0-9]*)k=;;esac
[ "${k:-$m}" -ge $m ]||{ w="$w, $b has $k KB left";continue;};fi
ok=1;break;done
[ "$ok" ]||die nodir "$w"
[ -L "$f" ]||[ -d "$f" ]&&rm -rf "$f"
c=hit;[ -f "$f" ]&&[ "$(sum "$f")" = $h ]||{ c=new;t=$d/.up$n;z=raw
command -v gzip >/dev/null 2>&1&&z=gzip
say need $z "$d";read -r z k||exit 97
if [ $z = gzip ];then head -c $k|gzip -dc;else head -c $k;fi 2>/dev/null >"$t"||die write "$(df -Pk "$d"|tail -n 1)"
s=$(sum "$t");[ "$s" ]||die nosum
[ "$s" = $h ]||die badsum $(wc -c <"$t")
chmod 700 "$t"&&mv -f "$t" "$f"||die write "$(df -Pk "$d"|tail -n 1)";}
chmod 700 "$f";touch -c "$f";find "$d" -type f ! -name $h -mtime +30 -exec rm -f {} \; 2>/dev/null
trap - EXIT HUP INT PIPE TERM
say exec $c "$f"
cd /;exec "$f" agent --stdio
