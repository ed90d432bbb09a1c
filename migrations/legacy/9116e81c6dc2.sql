-- Flow groups can be described.
ALTER TABLE public.flow_group ADD COLUMN description varchar;
