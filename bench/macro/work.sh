# The rows of bench/macro.py, for busybox's shell, the same on the host and in a guest: work.sh TREE SCRATCH SCALE ROW...
# Each prints "MACRO row nanoseconds md5sum-of-its-output". All programs are busybox's or from TREE; nothing else of the machine is used.
tree=$1 scratch=$2 scale=$3
shift 3
rm -rf "$scratch"
mkdir -p "$scratch/bin" "$scratch/x"
"$tree/busybox" --install -s "$scratch/bin"
PATH=$scratch/bin
LC_ALL=C
export PATH LC_ALL
cd "$scratch" || exit 1
lib=$tree/lib

# program NAME...: one that wants shared libraries
program() {
	"$lib/ld-linux.so.2" --library-path "$lib" "$@"
}

files() {
	find "$tree/include" -type f -name '*.h' | sort
}

# Everything in one text, as often as the scale says
text() {
	local i=0
	while [ $i -lt "$scale" ]; do
		files | xargs cat
		i=$((i + 1))
	done
}

row_tar_gzip() {
	local i=0 parts=
	while [ $i -lt "$scale" ]; do
		parts="$parts include"
		i=$((i + 1))
	done
	tar cf - -C "$tree" $parts | gzip -c >tree.tgz
	gunzip -c tree.tgz | tar tf - | sort
}

row_untar() {
	gunzip -c tree.tgz | tar xf - -C x
	find x -type f | wc -l
}

row_find_grep() {
	local i=0
	while [ $i -lt $((scale * 4)) ]; do
		files | xargs grep -l "__attribute__\|_POSIX_C_SOURCE" | wc -l
		i=$((i + 1))
	done
}

row_awk() {
	text | awk '{ for (i = 1; i <= NF; i++) n[$i]++ } END { for (w in n) print n[w], w }' | sort -rn | head -n 100
}

row_sort() {
	text | sort | uniq -c | sort -rn | head -n 1000
}

row_sed() {
	text | sed -e 's/define/DEFINE/g' -e '/^#/s/[a-z]*_t/type/' | tr a-z A-Z | sha1sum
}

# No program is started: the shell alone
row_ash() {
	local i=0 sum=0 word text=
	while [ $i -lt $((scale * 10000)) ]; do
		sum=$(((sum * 31 + i) & 0xffffff))
		case $sum in
		*7) word=seven ;;
		*[02468]) word=even ;;
		*) word=${sum#?} ;;
		esac
		text=$text${word%?}
		[ ${#text} -lt 200 ] || text=${text#????????????????????????????????}
		i=$((i + 1))
	done
	echo "$sum $text"
}

# Programs started, most of them short
row_scripts() {
	files | head -n $((scale * 40)) | while read -r file; do
		echo "$(basename "$file" .h) $(wc -c <"$file") $(head -n 20 "$file" | grep -c include)"
	done
}

row_tcc_compile() {
	program "$tree/tcc/bin/tcc" "-B$tree/tcc" -nostdinc "-I$tree/tcc/include" "-I$tree/include/i386-linux-gnu" "-I$tree/include" -nostdlib "-L$lib" -o prog \
		"$tree/start/crt1.o" "$tree/start/crti.o" "$tree/prog.c" "$lib/libc.so.6" "$tree/start/libc_nonshared.a" "$tree/start/crtn.o"
	[ -x prog ] && echo made
}

row_tcc_run() {
	program ./prog
}

row_cc1() {
	local file
	for file in "$tree"/cc1/*.c; do
		program "$tree/cc1/cc1" -quiet -O2 -D_GNU_SOURCE -nostdinc "-I$tree/tcc/include" "-I$tree/include/i386-linux-gnu" "-I$tree/include" "$file" -o - | grep -v '\.file\|\.ident'
	done
}

for row; do
	begin=$("$tree/ringer-bench" clock)
	"row_$row" >out 2>errors
	end=$("$tree/ringer-bench" clock)
	sum=$(md5sum <out)
	echo "MACRO $row $((end - begin)) ${sum%% *}"
	head -n 3 errors | sed "s/^/MACRO-ERROR $row /"
done
echo MACRO-END
