"""data.h5 -> figures/contact_sheet.png, split_statistics.csv, split_statistics.md."""

from pathlib import Path

from sparsevq.runtime.job import job

with job(snakemake, concludes=True) as work:
    from sparsevq.data.field_data import SPLITS
    from sparsevq.data.layout import read_data
    from sparsevq.evaluation.split_statistics import conclusions, split_statistics, write_split_statistics
    from sparsevq.plotting.contact_sheet import draw_contact_sheet
    from sparsevq.readers.data_set import as_source
    from sparsevq.runs.data_sets import data_sets

    name, out = snakemake.wildcards.data_set, snakemake.output
    data = read_data(snakemake.input.data)
    table = split_statistics(data)
    write_split_statistics(table, name, out.statistics, out.statistics_markdown)
    for line in conclusions(table):
        print(line, flush=True)
    draw_contact_sheet(as_source(data, snakemake.input.data), Path(out.contact_sheet), name)
    work.tracker.log_data_sets(data_sets(data, snakemake.input.data, *SPLITS))
    work.tracker.conclude({}, files=[out.contact_sheet, out.statistics])
