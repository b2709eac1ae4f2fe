# The table of recipes/attack-lab.sh: pay a step beside honest pay, by mode of replay, with half of the 95 % interval.
BEGIN { FS = "\t" }
NR == 1 { next }
{
    if (!($1 in seen)) { seen[$1]; order[++n] = $1 }
    ratio[$1, $2] = sprintf("%.3f +- %.3f", $3, $4)
    if ($2 == "Off") why[$1] = $11
}
END {
    printf "%-20s%18s%18s%18s  %s\n", "attack", "replay off", "sampled", "full", "off: why updates did not count"
    for (i = 1; i <= n; i++)
        printf "%-20s%18s%18s%18s  %s\n", order[i], ratio[order[i], "Off"], ratio[order[i], "Sampled"], ratio[order[i], "Full"], why[order[i]]
}
