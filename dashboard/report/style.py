"""How the weekly report looks, on the screen, in a mail and on paper."""

STYLE = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:#f4f5f7;color:#1d2329;
font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
main{max-width:820px;margin:0 auto;padding:24px;background:#fff}
header{display:flex;justify-content:space-between;color:#5b646e;margin-bottom:14px}
.brand{font-weight:700;color:#2667a8}
h1{font-size:20px;line-height:1.35;margin:0 0 18px;padding:12px 16px;overflow-wrap:anywhere;
border-left:5px solid #868e96;background:#f4f5f7}
h1.bad{border-color:#b34700;background:#fff3e8}
h1.watch{border-color:#8a5a00;background:#fff9e3}
h1.good{border-color:#2667a8;background:#eaf3fc}
h2{font-size:15px;margin:22px 0 8px}
dl{display:flex;flex-wrap:wrap;gap:10px;margin:0}
dl div{flex:1 1 130px;border:1px solid #dfe3e8;border-radius:6px;padding:9px 12px}
dt{color:#5b646e;font-size:12.5px}
dd{margin:0;font-size:20px;font-weight:600}
dd.change{font-size:12.5px;font-weight:400;color:#5b646e}
table{width:100%;border-collapse:collapse;font-size:13px}
th{text-align:left;font-weight:500;color:#5b646e;padding:4px 8px;border-bottom:1px solid #dfe3e8}
td{padding:4px 8px;border-bottom:1px solid #eceff2}
td:first-child,th:first-child{padding-left:0}
td:last-child,th:last-child{padding-right:0}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.name{overflow-wrap:anywhere;font-weight:500;max-width:260px}
small,.hint,.empty,.when,.kind,footer{color:#5b646e}
small{margin-left:6px}
.heat{table-layout:fixed}
.heat td,.heat th{border:1px solid #fff;padding:3px 6px}
.heat td:first-child,.heat th:first-child{padding-left:0;width:20%}
.heat .d{text-align:center;font-variant-numeric:tabular-nums;white-space:nowrap}
.heat .none{background:#eceff2;color:#5b646e}
.heat .name{max-width:200px}
.hint{font-size:12.5px;margin:6px 0 0}
.empty{margin:0}
.two{display:flex;flex-wrap:wrap;gap:0 28px}
.two section{flex:1 1 320px;min-width:0}
ul{list-style:none;margin:0;padding:0}
li{padding:3px 0 3px 56px;text-indent:-56px;border-bottom:1px solid #eceff2;overflow-wrap:anywhere}
.when,.kind{text-indent:0}
.when{display:inline-block;min-width:52px}
.kind{font-size:12px;border:1px solid #dfe3e8;border-radius:8px;padding:0 7px}
footer{margin-top:24px;font-size:12px;border-top:1px solid #dfe3e8;padding-top:10px}
svg{display:block}
@media(max-width:560px){main{padding:14px}.heat .d{padding:2px}
.heat th.d{white-space:normal;font-size:11.5px;line-height:1.2}
.weak td:nth-child(5),.weak th:nth-child(5){display:none}}
@page{size:A4;margin:12mm}
@media print{body{background:#fff;font-size:11px}main{padding:0 1px;max-width:none}
dt,dd.change,.hint,.kind,footer{font-size:10px}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
h1{font-size:16px;margin-bottom:10px}h2{margin:12px 0 4px;font-size:12.5px}
dd{font-size:15px}table{font-size:10.5px}td,th{padding:2px 6px}.heat td,.heat th{padding:1px 4px}
tr,li,dl div{break-inside:avoid}}
"""
