# The plot of recipes/codecs.sh as SVG: held-out loss against what one worker has sent, logarithmic, mean of the seeds with
# the range over them. Plain AdamW sends nothing: its losses are lines across.
# Input: codec, seed, round, tokens, bytes, loss.
BEGIN {
    FS = "\t"
    width = 900; height = 560; left = 70; right = 170; top = 30; bottom = 60
    split("#666666 #1f77b4 #17becf #2ca02c #bcbd22 #8c564b #9467bd #ff7f0e #d62728", colours, " ")
}
$3 > 0 {
    key = $1 SUBSEP $3
    if (!(key in count)) { low[key] = $6; high[key] = $6; points[$1] = points[$1] " " $3 }
    count[key]++; sum[key] += $6; sent[key] = $5
    if ($6 < low[key]) low[key] = $6
    if ($6 > high[key]) high[key] = $6
    if ($1 != "adamw") {
        if (!xmin || $5 < xmin) xmin = $5
        if ($5 > xmax) xmax = $5
    }
    if (!ymin || $6 < ymin) ymin = $6
    if ($6 > ymax) ymax = $6
}
function unit(b) {
    if (b >= 1e9) return b / 1e9 " GB"
    if (b >= 1e6) return b / 1e6 " MB"
    return b / 1e3 " kB"
}
function x(b) { return left + (width - left - right) * (log(b) - log(xmin)) / (log(xmax) - log(xmin) + 1e-9) }
function y(l) { return height - bottom - (height - top - bottom) * (l - ymin) / (ymax - ymin + 1e-9) }
END {
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " width " " height "\" font-family=\"sans-serif\" font-size=\"13\">"
    print "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    for (d = 1; d < 1e15; d *= 10) if (d >= xmin && d <= xmax) {
        printf "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#ddd\"/>\n", x(d), top, x(d), height - bottom
        printf "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", x(d), height - bottom + 20, unit(d)
    }
    for (i = 0; i <= 5; i++) {
        l = ymin + (ymax - ymin) * i / 5
        printf "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", left, y(l), width - right, y(l)
        printf "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.2f</text>\n", left - 8, y(l) + 4, l
    }
    printf "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">bytes that one worker has sent</text>\n", (left + width - right) / 2, height - 15
    printf "<text transform=\"translate(18,%d) rotate(-90)\" text-anchor=\"middle\">held-out loss, nats a byte</text>\n", (top + height - bottom) / 2
    n = split(order, codecs, " ")
    for (i = 1; i <= n; i++) {
        c = codecs[i]; colour = colours[(i - 1) % 9 + 1]
        m = split(points[c], rounds, " ")
        if (!m) continue
        up = line = ""; back = ""
        for (j = 1; j <= m; j++) {
            key = c SUBSEP rounds[j]
            at = c == "adamw" ? left : x(sent[key])
            line = line sprintf("%.1f,%.1f ", at, y(sum[key] / count[key]))
            up = up sprintf("%.1f,%.1f ", at, y(high[key]))
            back = sprintf("%.1f,%.1f ", at, y(low[key])) back
        }
        if (c == "adamw") {
            l = y(sum[key] / count[key])
            printf "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\" stroke-dasharray=\"6 4\"/>\n", left, l, width - right, l, colour
        } else {
            printf "<polygon points=\"%s%s\" fill=\"%s\" fill-opacity=\"0.15\"/>\n", up, back, colour
            printf "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"/>\n", line, colour
        }
        printf "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"%s\" stroke-width=\"2\"%s/>", width - right + 15, top + 22 * i, width - right + 40, top + 22 * i, colour, c == "adamw" ? " stroke-dasharray=\"6 4\"" : ""
        printf "<text x=\"%d\" y=\"%d\">%s</text>\n", width - right + 46, top + 22 * i + 4, c == "adamw" ? "AdamW, at the end" : c
    }
    print "</svg>"
}
