-- Who may use what. Applied after each change of a function, since PostgreSQL lets everybody execute a new one.

-- A trigger's function is nothing to call, nor to hang on a table of one's own: it runs with its owner's rights.
do $$
declare this regprocedure;
begin
    for this in
        select p.oid from pg_proc p
        where p.pronamespace = 'agentbridge'::regnamespace and p.prorettype = 'trigger'::regtype
    loop
        execute format('revoke execute on function %s from public', this);
    end loop;
end $$;
